/**
 * Encoding `json`: one line per event, as protobuf JSON of Tetragon's GetEventsResponse.
 * Key order, omitted keys, integers and times are as in Tetragon. Only an event of a policy with `aggregate` and a record about a change have a key of our own.
 */
import { isHookEvent, tracepointOf } from '../contract/event.ts'
import type {
  Aggregate,
  ChangeEvent,
  Event,
  ExitEvent,
  Hook,
  HookEvent,
  ProcessEvent,
  Argument,
  TextBytes,
} from '../contract/event.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import { Memory } from '../contract/encoded.ts'
import { ByteWriter } from '../runtime/byte-writer.ts'
import { isNamed, openingOf, writeValue } from './arguments.ts'
import { aroundOf, pathOf } from './around-path.ts'
import type { Around } from './around-path.ts'
import { parentOf, writeAncestors, writeCaller, writeOwn } from './json-process.ts'
import { writeStack } from './stacks.ts'

export interface JsonEncoderOptions {
  /** `node_name` of each record; omitted when ''. */
  readonly nodeName: string
}

/** The constant texts of a hook's lines, and their bytes together with the opening of the value behind them. */
interface HookLine {
  /** `,"function_name":…` */
  readonly name: string
  /** From `,"action":` on; a kernel stack is between the two. */
  readonly action: string
  readonly rest: string
  /** By argument: `,"label":"…"}`, or only the argument's `}`. */
  readonly labels: readonly string[]
  readonly dataLabels: readonly string[]
  /** By position; of the return value by the number of arguments before it. */
  readonly args: Piece[]
  readonly returned: Piece[]
  /** From the last value to the time, for events with nothing else; without a return value by the number of arguments. */
  readonly end: Uint8Array
  readonly ends: Uint8Array[]
}

/** Bytes up to a value. They depend on its opening. */
interface Piece {
  readonly field: string
  readonly kind: Argument['kind']
  readonly named: boolean
  readonly bytes: Uint8Array
}

const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const EXEC = ascii('{"process_exec":{"process":')
const EXIT = ascii('{"process_exit":{"process":')
const CALLS: Readonly<Record<HookEvent['type'], Uint8Array>> = {
  process_kprobe: ascii('{"process_kprobe":{"process":'),
  process_lsm: ascii('{"process_lsm":{"process":'),
  process_tracepoint: ascii('{"process_tracepoint":{"process":'),
}
/** Tetragon's record of lost events; strict readers of Tetragon's records would refuse anything else. */
const LOST = ascii('{"rate_limit_info":{"number_of_dropped_process_events":"')
const SIGNAL = ascii(',"signal":')
const STATUS = ascii(',"status":')
const TIME = ascii(',"time":"')
const KERNEL_STACK = ascii(',"kernel_stack_trace":[')
const USER_STACK = ascii(',"user_stack_trace":[')
const LINE_END = ascii('"}\n')
const AGGREGATE = ascii('","aggregate":{"count":"')
const BYTES = ascii('","bytes":"')
const LAST_TIME = ascii('","last_time":"')
const AGGREGATE_END = ascii('"}}\n')
const PATH = ascii('"path":')
const QUOTE = 0x22

/** Creates the encoder of Tetragon-compatible JSON lines, each ending in LF. */
export function createJsonEncoder(options: JsonEncoderOptions): Encoder {
  return new JsonEncoder(options.nodeName)
}

class JsonEncoder implements Encoder {
  readonly encoding = 'json'
  readonly #out = new ByteWriter()
  readonly #hooks = new WeakMap<Hook, HookLine>()
  /** By the object that calls with equal values share. */
  readonly #around = new WeakMap<TextBytes, Around | null>()
  /** From the `}` of the event to the opening quote of the time. */
  readonly #trailer: Uint8Array
  /** For a record without an event: up to the opening quote of the time. Strict readers of Tetragon's records accept it. */
  readonly #noEvent: Uint8Array

  constructor(nodeName: string) {
    const node = nodeName === '' ? '' : `,"node_name":${JSON.stringify(nodeName.toWellFormed())}`
    this.#trailer = new Uint8Array(Buffer.from(`}${node},"time":"`))
    this.#noEvent = new Uint8Array(Buffer.from(`{${`${node},"time":"`.slice(1)}`))
  }

  encode(events: readonly Event[]): Encoded {
    const ends = this.#lines(events)
    const bytes = this.#out.take()
    const firstSeq = events[0]?.seq ?? 0
    return { encoding: 'json', bytes, ends, count: events.length, firstSeq, memory: new Memory(bytes) }
  }

  borrow(events: readonly Event[]): Encoded {
    const ends = this.#lines(events)
    return { encoding: 'json', bytes: this.#out.borrow(), ends, count: events.length, firstSeq: events[0]?.seq ?? 0 }
  }

  #lines(events: readonly Event[]): Uint32Array {
    const ends = new Uint32Array(events.length)
    for (let i = 0; i < events.length; i++) {
      const event = events[i]
      if (event === undefined) continue
      this.#line(event)
      ends[i] = this.#out.length
    }
    return ends
  }

  #line(event: Event): void {
    let aggregate: Aggregate | undefined
    switch (event.type) {
      case 'process_kprobe':
      case 'process_lsm':
      case 'process_tracepoint':
        this.#call(event)
        aggregate = event.aggregate
        break
      case 'process_exec':
        this.#processes(EXEC, event, event.process.pid)
        writeAncestors(this.#out, event.ancestors)
        break
      case 'process_exit':
        this.#exit(event)
        break
      case 'events_lost':
        this.#out.bytes(LOST)
        this.#out.integer(event.count)
        this.#out.byte(QUOTE)
        break
      case 'agent_run':
        this.#out.bytes(this.#noEvent)
        break
      case 'agent_change':
        this.#out.utf8(changeMember(event))
        break
    }
    const out = this.#out
    if (event.type !== 'agent_run' && !isHookEvent(event)) out.bytes(this.#trailer)
    out.timestamp(event.time)
    if (aggregate === undefined) out.bytes(LINE_END)
    else this.#aggregate(aggregate)
  }

  /** An addition to Tetragon's record, which has no key for it; numbers of 64 bits are texts, as there. Beside the event, so that field filters leave it. */
  #aggregate({ count, bytes, last }: Aggregate): void {
    const out = this.#out
    out.bytes(AGGREGATE)
    out.integer(count)
    if (bytes !== undefined) {
      out.bytes(BYTES)
      out.integer(bytes)
    }
    out.bytes(LAST_TIME)
    out.timestamp(last)
    out.bytes(AGGREGATE_END)
  }

  #processes(start: Uint8Array, event: ProcessEvent, tid: number): void {
    this.#out.bytes(start)
    writeOwn(this.#out, event.process, event.refcnt, tid, event.type === 'process_exec' ? event.executed : undefined)
    if (event.parent !== undefined) this.#out.bytes(parentOf(event.parent))
  }

  #exit(event: ExitEvent): void {
    const out = this.#out
    this.#processes(EXIT, event, event.process.pid)
    if (event.signal !== '') {
      out.bytes(SIGNAL)
      out.json(event.signal)
    }
    if (event.status !== 0) {
      out.bytes(STATUS)
      out.integer(event.status)
    }
    out.bytes(TIME)
    out.timestamp(event.time)
    out.byte(QUOTE)
    writeAncestors(out, event.ancestors)
  }

  /** Up to the opening quote of the time. */
  #call(event: HookEvent): void {
    const out = this.#out
    writeCaller(out, CALLS[event.type], event)
    const { kernelStack, userStack, ancestors } = event
    const isPlain = kernelStack === undefined && userStack === undefined && ancestors === undefined
    const path = isPlain ? event.onlyPath?.() : undefined
    const around = path && this.#around.get(path)
    if (path !== undefined && around) {
      out.bytes(around.before)
      if (!out.plainJson(path.bytes, path.from, path.to)) out.json(pathOf(event))
      out.bytes(around.after)
      return
    }
    const from = out.length
    this.#values(event)
    if (path === undefined || around === null) return
    const text = Buffer.from(JSON.stringify(pathOf(event).toWellFormed()))
    this.#around.set(path, aroundOf(out.since(from), Buffer.concat([PATH, text]), text.length))
  }

  #values(event: HookEvent): void {
    const out = this.#out
    let hook = this.#hooks.get(event.hook)
    if (hook === undefined) this.#hooks.set(event.hook, (hook = hookLine(event.hook, this.#trailer)))
    const { args, data, returned } = event.view?.() ?? event
    const count = args.length
    for (let i = 0; i < count; i++) {
      const value = args[i]
      if (value === undefined) continue
      const piece = pieceOf(hook.args[i], value)
      out.bytes(
        piece ?? keepPiece(hook.args, i, value, i === 0 ? `${hook.name},"args":[` : `${labelAt(hook.labels, i)},`),
      )
      writeValue(out, value)
    }
    if (returned !== undefined) {
      const piece = pieceOf(hook.returned[count], returned)
      out.bytes(piece ?? keepPiece(hook.returned, count, returned, `${afterArguments(hook, count)},"return":`))
      writeValue(out, returned)
    }
    const { kernelStack, userStack, ancestors } = event
    const hasData = data !== undefined && data.length > 0
    if (kernelStack === undefined && userStack === undefined && ancestors === undefined && !hasData) {
      if (returned !== undefined) out.bytes(hook.end)
      else out.bytes((hook.ends[count] ??= endOf(hook, afterArguments(hook, count), this.#trailer)))
      return
    }
    out.utf8((returned === undefined ? afterArguments(hook, count) : '}') + hook.action)
    if (kernelStack !== undefined) writeStack(out, KERNEL_STACK, kernelStack)
    out.utf8(hook.rest)
    if (userStack !== undefined) writeStack(out, USER_STACK, userStack)
    writeAncestors(out, ancestors)
    if (hasData) this.#data(data, hook.dataLabels)
    out.bytes(this.#trailer)
  }

  #data(list: readonly Argument[], labels: readonly string[]): void {
    const out = this.#out
    for (const [i, value] of list.entries()) {
      out.utf8((i === 0 ? ',"data":[' : `${labelAt(labels, i)},`) + openingOf(value))
      writeValue(out, value)
    }
    out.utf8(`${labelAt(labels, list.length)}]`)
  }
}

/** The end of the argument before position `at`. */
const labelAt = (labels: readonly string[], at: number): string => labels[at - 1] ?? '}'

/** The members before the return value. */
const afterArguments = ({ name, labels }: HookLine, count: number): string =>
  count === 0 ? name : `${labelAt(labels, count)}]`

const endOf = ({ action, rest }: Pick<HookLine, 'action' | 'rest'>, before: string, trailer: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.concat([Buffer.from(before + action + rest), trailer]))

function pieceOf(piece: Piece | undefined, value: Argument): Uint8Array | undefined {
  const fits = piece?.field === value.field && piece.kind === value.kind && piece.named === isNamed(value)
  return fits ? piece.bytes : undefined
}

function keepPiece(pieces: Piece[], at: number, value: Argument, before: string): Uint8Array {
  const bytes = utf8(before + openingOf(value))
  pieces[at] = { field: value.field, kind: value.kind, named: isNamed(value), bytes }
  return bytes
}

/** Up to the `}` of the event. */
function changeMember({ what, by, names, count, mode, modeBefore }: ChangeEvent): string {
  const members = { what, by: by.toWellFormed(), names: names.map((name) => name.toWellFormed()), count }
  const modes = { mode, mode_before: modeBefore }
  return `{"agent_change":${JSON.stringify({ ...members, ...modes }).slice(0, -1)}`
}

function hookLine(hook: Hook, trailer: Uint8Array): HookLine {
  const texts = aroundArguments(hook)
  return {
    ...texts,
    labels: hook.labels.map((label) => `${member('label', label)}}`),
    dataLabels: (hook.dataLabels ?? []).map((label) => `${member('label', label)}}`),
    args: [],
    returned: [],
    end: endOf(texts, '}', trailer),
    ends: [],
  }
}

const member = (key: string, value: string): string => (value === '' ? '' : `,"${key}":${quoted(value)}`)

/** The members before and after `args`. The messages of the API have their fields in different orders. */
function aroundArguments(hook: Hook): Readonly<Record<'name' | 'action' | 'rest', string>> {
  const tags = hook.tags.length === 0 ? '' : `,"tags":[${hook.tags.map(quoted).join(',')}]`
  const policy = member('policy_name', hook.policy)
  const action = member('action', actionName(hook.action))
  const message = member('message', hook.message)
  const name = member('function_name', hook.functionName)
  switch (hook.type) {
    case 'process_lsm':
      return { name: name + policy + message, action, rest: tags }
    case 'process_tracepoint': {
      const [subsystem, event] = tracepointOf(hook)
      return {
        name: member('subsys', subsystem) + member('event', event),
        action: policy + action,
        rest: message + tags,
      }
    }
    default:
      return { name, action, rest: policy + member('return_action', actionName(hook.returnAction)) + message + tags }
  }
}

function actionName(action: string): string {
  return `KPROBE_ACTION_${action.toUpperCase()}`
}

function quoted(text: string): string {
  return JSON.stringify(text.toWellFormed())
}
