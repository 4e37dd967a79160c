/**
 * Encoding `compact`: one readable line per event, as Tetragon's client prints it (docs/reference/records/compact.md).
 * `<emoji> <label, 7 wide> <source> <binary>[ <details>]`; an empty detail keeps its space.
 */
import { changeText } from '../contract/described.ts'
import { tracepointOf } from '../contract/event.ts'
import type { Event, HookEvent, LossEvent, Process } from '../contract/event.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import { Memory } from '../contract/encoded.ts'
import { ByteWriter } from '../runtime/byte-writer.ts'
import { argumentText, callsText } from './arguments.ts'
import { describeKprobe } from './compact-kprobe.ts'
import { stackLines } from './stacks.ts'
import { oneLine, printable } from '../../config/base/quoting.ts'

export interface CompactEncoderOptions {
  /** The source of an event outside any pod and any container with a name. */
  readonly nodeName: string
  /** ANSI colours; default false. */
  readonly color?: boolean
  /** Lines begin with the time in UTC, nine digits; default false. */
  readonly timestamps?: boolean
}

/** ANSI foreground colours. */
const RED = 31
const GREEN = 32
const YELLOW = 33
const BLUE = 34
const MAGENTA = 35
const CYAN = 36
const STACK = { address: GREEN, symbol: BLUE, offset: YELLOW } as const

/** Creates the encoder of compact lines, each ending in LF. */
export function createCompactEncoder(options: CompactEncoderOptions): Encoder {
  return new CompactEncoder(options)
}

class CompactEncoder implements Encoder {
  readonly encoding = 'compact'
  readonly #out = new ByteWriter()
  readonly #color: boolean
  readonly #timestamps: boolean
  readonly #source: string

  constructor(options: CompactEncoderOptions) {
    this.#color = options.color ?? false
    this.#timestamps = options.timestamps ?? false
    this.#source = this.#paint(GREEN, printable(options.nodeName))
  }

  encode(events: readonly Event[]): Encoded {
    const ends = new Uint32Array(events.length)
    for (let i = 0; i < events.length; i++) {
      const event = events[i]
      if (event === undefined) continue
      if (this.#timestamps) {
        this.#out.timestamp(event.time, true)
        this.#out.utf8(' ')
      }
      this.#out.utf8(`${this.#line(event)}\n`)
      ends[i] = this.#out.length
    }
    const bytes = this.#out.take()
    const memory = new Memory(bytes)
    return { encoding: 'compact', bytes, ends, count: events.length, firstSeq: events[0]?.seq ?? 0, memory }
  }

  #line(event: Event): string {
    if (event.type === 'events_lost') return this.#lost(event)
    // Compact lines have no numbers, so no such record comes.
    if (event.type === 'agent_run') return `run ${event.phase}`
    if (event.type === 'agent_change')
      return `${this.#paint(RED, '❗ change ')} ${this.#source} ${oneLine(changeText(event))}`
    const { process } = event
    switch (event.type) {
      case 'process_exec':
        return `${this.#head('🚀', 'process', process)} ${this.#paint(CYAN, printable(event.executed?.arguments ?? process.arguments))}`
      case 'process_exit': {
        const end = event.signal === '' ? String(event.status) : event.signal
        const head = this.#head('💥', 'exit', process)
        return `${head} ${this.#paint(CYAN, printable(process.arguments))} ${this.#paint(RED, end)}`
      }
      case 'process_lsm':
        return `${this.#head('🔒', 'LSM', process)} ${this.#paint(CYAN, printable(event.hook.functionName))}${this.#calls(event)}`
      case 'process_tracepoint': {
        const [subsystem, name] = tracepointOf(event.hook)
        const [first] = event.args
        const calls = event.hook.functionName === 'raw_syscalls:sys_enter'
        const head = calls ? this.#head('☎ ', 'syscall', process) : this.#head('⁉️', 'tracepoint', process)
        const called = first === undefined ? '' : argumentText(first)
        return `${head} ${this.#paint(CYAN, calls ? printable(called) : `${subsystem} ${name}`)}`
      }
      case 'process_kprobe': {
        const { emoji, label, details } = describeKprobe(event)
        let line = this.#head(emoji, label, process)
        for (const detail of details) line += ` ${this.#paint(CYAN, detail)}`
        return line + this.#calls(event) + stackLines(event, (part, text) => this.#paint(STACK[part], text))
      }
    }
  }

  #calls({ aggregate }: HookEvent): string {
    return aggregate === undefined ? '' : ` ${callsText(aggregate)}`
  }

  /** Tetragon's client has no line for losses. */
  #lost({ loss, count }: LossEvent): string {
    const where = loss.exporter === '' ? loss.stage : `${loss.stage} ${printable(loss.exporter)}`
    const what = `${count} ${count === 1 ? 'event' : 'events'}`
    return `${this.#paint(RED, '❗ lost   ')} ${this.#source} ${this.#paint(RED, what)} ${where} ${printable(loss.reason)}`
  }

  #head(emoji: string, label: string, process: Process): string {
    const event = this.#paint(BLUE, `${emoji} ${label.padEnd(7)}`)
    return `${event} ${this.#sourceOf(process)} ${this.#paint(MAGENTA, printable(process.binary))}`
  }

  #sourceOf({ pod, container }: Process): string {
    if (pod !== undefined) return this.#paint(GREEN, printable(`${pod.namespace}/${pod.name}`))
    return container === undefined ? this.#source : this.#paint(GREEN, printable(container.name))
  }

  #paint(color: number, text: string): string {
    return this.#color ? `\x1b[${color}m${text}\x1b[0m` : text
  }
}
