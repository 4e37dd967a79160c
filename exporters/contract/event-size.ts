/** Estimates the memory of held events: a cheap upper bound. */
import { isAboutAgent, isHookEvent } from './event.ts'
import type { Argument, Event, Executed, HookEvent, MemberValue, Process } from './event.ts'

/** Objects without their texts. */
const EVENT_BYTES = 250
const ARGUMENT_BYTES = 150
/** A member with its short text. */
const MEMBER_BYTES = 120
const PROCESS_BYTES = 700
/** A frame of a stack, with an address. */
const FRAME_BYTES = 100

/** Sizes of the events of one queue, in order. */
export class EventSizes {
  #last: Process | undefined

  /** Bytes that the event adds. Its process counts if it differs from that of the previous event. */
  of(event: Event): number {
    let bytes = EVENT_BYTES
    if (isAboutAgent(event)) return bytes
    if (event.process !== this.#last) {
      bytes += processBytes(event.process)
      for (const each of event.ancestors ?? []) bytes += processBytes(each)
    }
    this.#last = event.process
    if (event.type === 'process_exec' && event.executed !== undefined) bytes += executedBytes(event.executed)
    if (!isHookEvent(event)) return bytes
    for (const argument of event.args) bytes += argumentBytes(argument)
    for (const argument of event.data ?? []) bytes += argumentBytes(argument)
    bytes += stackBytes(event)
    return event.returned === undefined ? bytes : bytes + argumentBytes(event.returned)
  }

  /** The previous event is not in the queue: count the process of the next one. */
  forget(): void {
    this.#last = undefined
  }
}

/** The texts are shared by many frames. */
export function stackBytes({ kernelStack = [], userStack = [] }: HookEvent): number {
  return FRAME_BYTES * (kernelStack.length + userStack.length)
}

function processBytes({ binary, arguments: words, argv, cwd }: Process): number {
  return PROCESS_BYTES + 2 * (binary.length + words.length + argv.length + cwd.length)
}

function executedBytes({ arguments: words = '', environment = [], raised }: Executed): number {
  const texts = environment.reduce((sum, [name, value]) => sum + MEMBER_BYTES + 2 * (name.length + value.length), 0)
  return EVENT_BYTES + 2 * words.length + texts + MEMBER_BYTES * membersOf(raised ?? [])
}

/** Counts nested members too; all events share the names in lists. */
function membersOf(members: Iterable<readonly [string, MemberValue]>): number {
  let count = 0
  for (const [, value] of members) count += value instanceof Map ? 1 + membersOf(value) : 1
  return count
}

/** Bytes of any kind of argument: only texts and bytes can be long. */
function argumentBytes(argument: Argument): number {
  let bytes = ARGUMENT_BYTES
  if (argument.kind === 'struct') bytes += MEMBER_BYTES * membersOf(argument.members)
  for (const value of Object.values(argument)) {
    if (typeof value === 'string') bytes += 2 * value.length
    else if (value instanceof Uint8Array) bytes += value.length
  }
  return bytes
}
