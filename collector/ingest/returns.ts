/**
 * Events that wait for their return value. The kernel sends a joined call twice: its records at the entry, then its return
 * (`EVENT_RETURN` in bpf/event.h). Each event is sent once: with its return value, or marked when the kernel did not see the return.
 */
import type { Mutable } from '../wire/values.ts'
import type { ArgumentType } from '../../config/policy/arguments.ts'
import type { Argument, HookEvent, ProcessEvent } from '../../exporters/contract/event.ts'
import type { CallEnd, PendingCall, MapEnds } from '../wire/decode.ts'
import type { RawHook } from '../wire/hook-record.ts'
import type { GoneThreads } from '../host/gone-threads.ts'
import type { Returned } from './return-filter.ts'
import { callKey } from '../kernel/joins.ts'
import { stackBytes } from '../../exporters/index.ts'
import { HOOK_RETURN_FOLLOWS, HOOK_RETURN_KEPT, HOOK_RETURN_MISSED, HOOK_RETURN_PENDING } from '../wire/wire.ts'

/** The return value of an event whose return was not seen. */
export const NOT_SEEN: Argument = { kind: 'error', field: 'error_arg', message: 'return not seen' }

interface Waiting extends PendingCall {
  readonly tgid: number
  /** A map of the kernel has the call too, and the guard checks that. */
  readonly kept: boolean
  readonly event: Mutable<HookEvent>
  readonly kind: Returned
  readonly bytes: number
}

/** The kernel's maps hold 12,288 calls, each with records of up to 20 KiB for each policy: bounded here, or they would take gigabytes. */
const CAPACITY_BYTES = 16 << 20
/** An event without its texts. */
const EVENT_BYTES = 600

export class PendingReturns {
  /** By the upper half of their numbers, which is part of an address: a list has the calls of one stack, or of a few neighbouring ones. */
  readonly #stacks = new Map<number, Waiting[]>()
  readonly #capacityBytes: number
  #bytes = 0
  /** Events that went on without a return value. */
  missed = 0

  /** Ends that the ring does not have, until all records of their calls are read; and calls of threads that are gone. */
  readonly #reported = new Map<string, CallEnd>()
  readonly #detached = new Set<number>()
  #suspects: PendingCall[] = []

  constructor(capacityBytes: number = CAPACITY_BYTES) {
    this.#capacityBytes = capacityBytes
  }

  /** Takes the event of a record; adds events that can be sent to `out`. */
  add(raw: RawHook, event: HookEvent, kind: Returned, out: ProcessEvent[]): void {
    if ((raw.flags & HOOK_RETURN_FOLLOWS) === 0) {
      if ((raw.flags & HOOK_RETURN_MISSED) !== 0) this.missed++
      if (kind.passes === undefined || event.returned === undefined || kind.passes(event.returned)) out.push(event)
      return
    }
    const { tgid, tid, sec, nsec } = raw
    const call = raw.values[raw.count - 1]
    const bytes = sizeOf(event)
    const kept = (raw.flags & (HOOK_RETURN_KEPT | HOOK_RETURN_PENDING)) !== 0
    const of: PendingCall = { tid, sec, nsec, callLo: call?.lo ?? 0, callHi: call?.hi ?? 0 }
    this.#passEarlier(of, out)
    const others = this.#stacks.get(of.callHi)
    const waiting: Waiting = { ...of, tgid, kept, event, kind, bytes }
    if (others === undefined) this.#stacks.set(of.callHi, [waiting])
    else others.push(waiting)
    this.#bytes += bytes
    while (this.#bytes > this.#capacityBytes) this.#giveUp(out)
  }

  /** Adds the events of a call to `out`, one for each policy. */
  end(call: CallEnd, out: ProcessEvent[]): void {
    const waiting = this.#stacks.get(call.callHi)
    // Its events were already sent, for lack of memory.
    if (waiting === undefined) return
    const others = waiting.filter((each) => !isSameCall(each, call))
    if (others.length === waiting.length) return
    if (others.length === 0) this.#stacks.delete(call.callHi)
    else this.#stacks.set(call.callHi, others)
    for (const each of waiting) if (isSameCall(each, call)) this.#pass(each, returnedOf(each, call), out)
  }

  /** Calls with waiting events that a map of the kernel has too; a call comes once for each event. */
  *kept(): Generator<PendingCall> {
    for (const waiting of this.#stacks.values()) for (const each of waiting) if (each.kept) yield each
  }

  /** Number of calls that wait. */
  get waiting(): number {
    return new Set([...this.#stacks.values()].flat().map(callKey)).size
  }

  /** Finds calls of ended threads; `endReported` ends them. Call it every few seconds. */
  sweep(gone: GoneThreads, nowNs: bigint): void {
    this.#suspects = gone.among([...this.#stacks.values()].flat(), nowNs)
  }

  /** Takes ends that the ring does not have. */
  report({ calls, functions }: MapEnds): void {
    for (const call of calls) this.#reported.set(callKey(call), call)
    for (const id of functions) this.#detached.add(id & 0xffff)
  }

  /** Ends reported calls, and calls of ended threads. Only while the ring is empty, because it may have further records of them. */
  endReported(out: ProcessEvent[]): void {
    for (const call of this.#reported.values()) this.end(call, out)
    this.#reported.clear()
    for (const call of this.#suspects.splice(0)) this.end(call, out)
    if (this.#detached.size === 0) return
    const ended = [...this.#stacks.values()].flat().filter((each) => this.#detached.has(each.callLo & 0xffff))
    for (const call of ended) this.end(call, out)
    this.#detached.clear()
  }

  /** A call at the same place of the same stack: the earlier call has returned unseen, or its thread has ended and another one uses the stack. */
  #passEarlier(call: PendingCall, out: ProcessEvent[]): void {
    const waiting = this.#stacks.get(call.callHi)
    const earlier = waiting?.find((each) => each.callLo === call.callLo && !isSameCall(each, call))
    if (earlier !== undefined) this.end(this.#reported.get(callKey(earlier)) ?? earlier, out)
  }

  has(call: PendingCall): boolean {
    return this.#stacks.get(call.callHi)?.some((each) => isSameCall(each, call)) === true
  }

  /** Adds all that still waits to `out`, without return values. */
  endAll(out: ProcessEvent[]): void {
    while (this.#stacks.size > 0) this.#giveUp(out)
  }

  /** The events of the stack that waits longest. */
  #giveUp(out: ProcessEvent[]): void {
    const [oldest] = this.#stacks
    if (oldest === undefined) return
    this.#stacks.delete(oldest[0])
    for (const each of oldest[1]) this.#pass(each, undefined, out)
  }

  #pass({ event, kind, bytes }: Waiting, returned: CallEnd['returned'], out: ProcessEvent[]): void {
    this.#bytes -= bytes
    if (returned === undefined) this.missed++
    else {
      event.returned = returnValue(kind.type, returned.lo, returned.hi)
      if (kind.passes?.(event.returned) === false) return
    }
    out.push(event)
  }
}

/** No two threads have one place on a stack at one time. */
const isSameCall = (one: PendingCall, call: PendingCall): boolean =>
  one.nsec === call.nsec && one.sec === call.sec && one.callLo === call.callLo && one.callHi === call.callHi

/**
 * undefined if another thread returns, which got the stack of an ended one. An exec ends all other threads, and gives its own thread the first
 * one's number.
 */
const returnedOf = ({ tid, tgid }: Waiting, call: CallEnd): CallEnd['returned'] =>
  call.tid === tid || call.tid === tgid ? call.returned : undefined

/** Memory of an event, roughly. */
export function sizeOf(event: HookEvent): number {
  const { args, data = [] } = event
  let bytes = EVENT_BYTES + stackBytes(event)
  // Two bytes a character, and the exact ones beside.
  for (const arg of [...args, ...data]) {
    if (arg.kind === 'file') bytes += 2 * arg.path.length + (arg.raw?.length ?? 0)
    else if (arg.kind === 'bytes') bytes += arg.value.length
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
