/**
 * Events that wait for their return value. The kernel sends a joined call twice: its records at the entry, then how it returned
 * (`EVENT_RETURN` in bpf/event.h). Each event goes on once: with its return value, or marked when the kernel did not see the return.
 */
import type { ArgumentType } from '../../config/policy/arguments.ts'
import type { Argument, HookEvent, ProcessEvent } from '../../exporters/contract/event.ts'
import type { CallEnd, RawHook } from './decode.ts'
import { HOOK_RETURN_FOLLOWS, HOOK_RETURN_MISSED } from '../kernel/wire.ts'

/** The return value of an event whose return was not seen. */
export const NOT_SEEN: Argument = { kind: 'error', field: 'error_arg', message: 'return not seen' }

/** A call by its thread, its time and its number. */
export type PendingCall = Pick<CallEnd, 'tid' | 'sec' | 'nsec' | 'callLo' | 'callHi'>

interface Waiting extends PendingCall {
  readonly event: Mutable<HookEvent>
  readonly type: ArgumentType
  readonly bytes: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** The kernel's map holds 8,192 calls, each with records of up to 20 KiB for each policy: bounded here, or they would take gigabytes. */
const CAPACITY_BYTES = 16 << 20
/** An event without its texts. */
const EVENT_BYTES = 600

export class PendingReturns {
  /** By thread, whose calls are nested. */
  readonly #threads = new Map<number, Waiting[]>()
  readonly #capacityBytes: number
  #bytes = 0
  /** Events that went on without a return value. */
  missed = 0

  constructor(capacityBytes: number = CAPACITY_BYTES) {
    this.#capacityBytes = capacityBytes
  }

  /** Takes the event of a record; adds to `out` what can go on. `type`: of the return value. */
  add(raw: RawHook, event: HookEvent, type: ArgumentType, out: ProcessEvent[]): void {
    if ((raw.flags & HOOK_RETURN_FOLLOWS) === 0) {
      if ((raw.flags & HOOK_RETURN_MISSED) !== 0) this.missed++
      out.push(event)
      return
    }
    const { tid, sec, nsec } = raw
    const call = raw.values[raw.count - 1]
    const bytes = sizeOf(event)
    const waiting: Waiting = { tid, sec, nsec, callLo: call?.lo ?? 0, callHi: call?.hi ?? 0, event, type, bytes }
    const others = this.#threads.get(tid)
    if (others === undefined) this.#threads.set(tid, [waiting])
    else others.push(waiting)
    this.#bytes += bytes
    while (this.#bytes > this.#capacityBytes) this.#giveUp(out)
  }

  /** Adds the events of a call to `out`, one for each policy. */
  end(call: CallEnd, out: ProcessEvent[]): void {
    const waiting = this.#threads.get(call.tid)
    // Its events went on before, for lack of memory.
    if (waiting === undefined) return
    // Calls are nested: nearly always the last ones.
    for (let i = waiting.length - 1; i >= 0; i--) {
      const each = waiting[i]
      if (each === undefined || !isSameCall(each, call)) continue
      let first = i
      for (let before = waiting[i - 1]; before !== undefined && isSameCall(before, call); before = waiting[first - 1])
        first--
      for (const one of waiting.splice(first, i + 1 - first)) this.#pass(one, call.returned, out)
      break
    }
    if (waiting.length === 0) this.#threads.delete(call.tid)
  }

  /** Calls with events that wait; one with several events comes as often. */
  *calls(): Generator<PendingCall> {
    for (const waiting of this.#threads.values()) yield* waiting
  }

  has(call: PendingCall): boolean {
    return this.#threads.get(call.tid)?.some((each) => isSameCall(each, call)) === true
  }

  /** Adds all that still waits to `out`, without return values. */
  endAll(out: ProcessEvent[]): void {
    while (this.#threads.size > 0) this.#giveUp(out)
  }

  /** The events of the thread that waits longest. */
  #giveUp(out: ProcessEvent[]): void {
    const [oldest] = this.#threads
    if (oldest === undefined) return
    this.#threads.delete(oldest[0])
    for (const each of oldest[1]) this.#pass(each, undefined, out)
  }

  #pass({ event, type, bytes }: Waiting, returned: CallEnd['returned'], out: ProcessEvent[]): void {
    this.#bytes -= bytes
    if (returned === undefined) this.missed++
    else event.returned = returnValue(type, returned.lo, returned.hi)
    out.push(event)
  }
}

/** Of one thread. */
export const isSameCall = (one: PendingCall, call: PendingCall): boolean =>
  one.nsec === call.nsec && one.sec === call.sec && one.callLo === call.callLo && one.callHi === call.callHi

function sizeOf({ args }: HookEvent): number {
  let bytes = EVENT_BYTES
  // Two bytes a character, and the exact ones beside.
  for (const arg of args) {
    if (arg.kind === 'file') bytes += 2 * arg.path.length + (arg.raw?.length ?? 0)
    else if (arg.kind === 'string') bytes += 2 * arg.value.length + (arg.raw?.length ?? 0)
  }
  return bytes
}

/** A register cut to the declared width, then extended by the declared sign (`narrowed` in bpf/args/number.h). */
function returnValue({ read, field }: ArgumentType, lo: number, hi: number): Argument {
  switch (read) {
    case 's8':
      return { kind: 'number', field, value: (lo << 24) >> 24 }
    case 's16':
      return { kind: 'number', field, value: (lo << 16) >> 16 }
    case 's32':
      return { kind: 'number', field, value: lo | 0 }
    case 'u8':
      return { kind: 'number', field, value: lo & 0xff }
    case 'u16':
      return { kind: 'number', field, value: lo & 0xffff }
    case 'u32':
      return { kind: 'number', field, value: lo >>> 0 }
    default: {
      const wide = (BigInt(hi) << 32n) | BigInt(lo)
      return { kind: 'wide', field, value: read === 's64' ? BigInt.asIntN(64, wide) : wide }
    }
  }
}
