/**
 * Encoding `json`: one line per event, as protobuf JSON of Tetragon's GetEventsResponse.
 * Key order, omitted keys, integers and times are as in Tetragon. Only an event of a policy with `aggregate` and a record about a change have a key of our own.
 */
import { tracepointOf } from '../contract/event.ts'
import type {
  Aggregate,
  ChangeEvent,
  Event,
  ExitEvent,
  Hook,
  HookEvent,
  ProcessEvent,
  Argument,
} from '../contract/event.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import { Memory } from '../contract/encoded.ts'
import { ByteWriter } from '../runtime/byte-writer.ts'
import { writeArgument } from './arguments.ts'
import { writeAncestors, writeOwn, writeParent } from './json-process.ts'
import { writeStack } from './stacks.ts'

export interface JsonEncoderOptions {
  /** `node_name` of each record; omitted when ''. */
  readonly nodeName: string
}

/** The constant bytes of a hook's lines. */
interface HookBytes {
  /** `,"function_name":…`, and the same with `,"args":[` */
  readonly name: Uint8Array
  readonly nameAndArgs: Uint8Array
  /** From `,"action":` on; a kernel stack is between the two. */
  readonly action: Uint8Array
  readonly rest: Uint8Array
  /** By argument: `,"label":"…"}`, or only the argument's `}`. */
  readonly labels: readonly Uint8Array[]
  readonly dataLabels: readonly Uint8Array[]
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
const RETURN = ascii(',"return":')
const DATA = ascii(',"data":[')
const KERNEL_STACK = ascii(',"kernel_stack_trace":[')
const USER_STACK = ascii(',"user_stack_trace":[')
const LINE_END = ascii('"}\n')
const AGGREGATE = ascii('","aggregate":{"count":"')
const BYTES = ascii('","bytes":"')
const LAST_TIME = ascii('","last_time":"')
const AGGREGATE_END = ascii('"}}\n')
const END = ascii('}')
const QUOTE = 0x22
const COMMA = 0x2c
const CLOSE_LIST = 0x5d

/** Creates the encoder of Tetragon-compatible JSON lines, each ending in LF. */
export function createJsonEncoder(options: JsonEncoderOptions): Encoder {
  return new JsonEncoder(options.nodeName)
}

class JsonEncoder implements Encoder {
  readonly encoding = 'json'
  readonly #out = new ByteWriter()
  readonly #hooks = new WeakMap<Hook, HookBytes>()
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
    const memory = new Memory(bytes)
    return { encoding: 'json', bytes, ends, count: events.length, firstSeq: events[0]?.seq ?? 0, memory }
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
        this.#kprobe(event)
        aggregate = event.aggregate
        break
      case 'process_exec':
        this.#processes(EXEC, event, event.process.pid)
        this.#ancestors(event)
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
    if (event.type !== 'agent_run') out.bytes(this.#trailer)
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
    if (event.parent !== undefined) writeParent(this.#out, event.parent)
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
    this.#ancestors(event)
  }

  #ancestors({ ancestors }: ProcessEvent): void {
    if (ancestors !== undefined) writeAncestors(this.#out, ancestors)
  }

  #kprobe(event: HookEvent): void {
    const out = this.#out
    let hook = this.#hooks.get(event.hook)
    if (hook === undefined) this.#hooks.set(event.hook, (hook = hookBytes(event.hook)))
    this.#processes(CALLS[event.type], event, event.tid)
    const { args, returned } = event
    if (args.length === 0) out.bytes(hook.name)
    else {
      out.bytes(hook.nameAndArgs)
      this.#arguments(args, hook.labels)
    }
    if (returned !== undefined) {
      out.bytes(RETURN)
      writeArgument(out, returned)
      out.bytes(END)
    }
    out.bytes(hook.action)
    if (event.kernelStack !== undefined) writeStack(out, KERNEL_STACK, event.kernelStack)
    out.bytes(hook.rest)
    if (event.userStack !== undefined) writeStack(out, USER_STACK, event.userStack)
    this.#ancestors(event)
    if (event.data === undefined || event.data.length === 0) return
    out.bytes(DATA)
    this.#arguments(event.data, hook.dataLabels)
  }

  #arguments(list: readonly Argument[], labels: readonly Uint8Array[]): void {
    const out = this.#out
    for (let i = 0; i < list.length; i++) {
      const argument = list[i]
      if (argument === undefined) continue
      if (i > 0) out.byte(COMMA)
      writeArgument(out, argument)
      out.bytes(labels[i] ?? END)
    }
    out.byte(CLOSE_LIST)
  }
}

/** Up to the `}` of the event. */
function changeMember({ what, by, names, count, mode, modeBefore }: ChangeEvent): string {
  const members = { what, by: by.toWellFormed(), names: names.map((name) => name.toWellFormed()), count }
  const modes = { mode, mode_before: modeBefore }
  return `{"agent_change":${JSON.stringify({ ...members, ...modes }).slice(0, -1)}`
}

function hookBytes(hook: Hook): HookBytes {
  const { name, action, rest } = aroundArguments(hook)
  return {
    name: utf8(name),
    nameAndArgs: utf8(`${name},"args":[`),
    action: utf8(action),
    rest: utf8(rest),
    labels: labelBytes(hook.labels),
    dataLabels: labelBytes(hook.dataLabels ?? []),
  }
}

const labelBytes = (labels: readonly string[]): Uint8Array[] =>
  labels.map((label) => utf8(`${member('label', label)}}`))

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
