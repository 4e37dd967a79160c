/**
 * Events that wait for the count of equal calls. The kernel reports the first of equal calls and counts the others
 * (bpf/call/aggregate.h). The event is sent once, with the count: when the window is over, when the process has exited, when the policy is
 * gone, when the agent stops, and when there are too many.
 */
import type { Clock } from '../../../config/base/time/clock.ts'
import { systemClock } from '../../../config/base/time/clock.ts'
import { changed } from '../../../exporters/index.ts'
import type { HookEvent, ProcessEvent, Timestamp } from '../../../exporters/contract/event.ts'
import type { AggregateKey, Taken } from '../../kernel/actions/aggregates.ts'
import { AGGREGATE_INDEX } from '../../wire/wire.ts'
import type { RawHook } from '../../wire/hook-record.ts'
import { addTo } from '../hooks.ts'
import type { Aggregation } from '../hooks.ts'
import { sizeOf } from '../returns.ts'

export interface AggregateOptions {
  readonly take: (key: AggregateKey) => Taken
  /** Wall time of a boot time. */
  readonly at: (bootNs: bigint) => Timestamp
  /** Called when aggregates are due: `due` must follow. */
  readonly wake: () => void
  readonly clock?: Clock
  readonly capacityBytes?: number
}

interface Waiting extends AggregateKey {
  readonly name: string
  readonly event: HookEvent
  readonly aggregation: Aggregation
  readonly size: number
  dueMs: number
}

const CAPACITY_BYTES = 16 << 20
/** Windows end together, so that a thousand of them need no thousand timers. */
const STEP_MS = 250
/** Aggregates per turn: each takes three system calls, so that a turn takes a few milliseconds. */
const MOST_AT_ONCE = 512
/**
 * Number that is ended for a new one if there are too many. One alone would not reduce the bytes; many would cost too much if no count can be
 * taken.
 */
const MOST_AT_A_CALL = 8
/** Time until the next request if a call is being counted. */
const LATER_MS = 10

export class PendingAggregates implements Disposable {
  readonly #options: AggregateOptions
  readonly #clock: Clock
  readonly #capacityBytes: number
  /** In the order of their first calls. */
  readonly #waiting = new Map<string, Waiting>()
  readonly #processes = new Map<number, Set<Waiting>>()
  #cancelTimer: () => void = () => {}
  #bytes = 0
  /** By the time when they are due. */
  readonly #due = new Map<number, Set<Waiting>>()
  /** The first time in `#due`. */
  #nextMs = Infinity
  /** Events whose count was gone from the kernel's map. */
  lost = 0
  /** Calls without an event of their own, by policy and function. */
  readonly counted = new Map<string, Map<string, number>>()

  constructor(options: AggregateOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#capacityBytes = options.capacityBytes ?? CAPACITY_BYTES
  }

  /** Takes the event of a first call; adds events that can be sent to `out`. */
  add(raw: RawHook, event: HookEvent, aggregation: Aggregation, out: ProcessEvent[]): void {
    // Before the return value.
    const hash = raw.values.slice(0, raw.count).find(({ index }) => index === AGGREGATE_INDEX)
    const { hookId, tgid } = raw
    const { lo, hi } = hash ?? { lo: 0, hi: 0 }
    const dueMs = Math.ceil((this.#clock.nowMs() + aggregation.windowMs) / STEP_MS) * STEP_MS
    const name = `${hookId} ${tgid} ${hi} ${lo}`
    const waiting: Waiting = { name, hookId, tgid, lo, hi, event, aggregation, size: sizeOf(event), dueMs: Infinity }
    const before = this.#waiting.get(name)
    // Only if another program has emptied the kernel's map.
    if (before !== undefined) this.#pass(before, 'unknown', out)
    this.#waiting.set(name, waiting)
    putInto(this.#processes, tgid, waiting)
    this.#bytes += waiting.size
    this.#expect(waiting, dueMs)
    let left = MOST_AT_A_CALL
    for (const oldest of this.#waiting.values()) {
      if (this.#bytes <= this.#capacityBytes || left-- === 0) break
      this.#end(oldest, out, this.#bytes > 2 * this.#capacityBytes)
    }
  }

  /** Whether some wait. */
  get size(): number {
    return this.#waiting.size
  }

  /** Adds to `out` the events whose window is over. */
  due(out: ProcessEvent[]): void {
    const now = this.#clock.nowMs()
    if (now < this.#nextMs) return
    let left = MOST_AT_ONCE
    for (const [dueMs, all] of this.#due) {
      if (dueMs > now) continue
      for (const each of all) if (left-- > 0) this.#end(each, out)
    }
    this.#nextMs = Infinity
    this.#wakeAt(Math.min(...this.#due.keys()))
  }

  /** The process makes no further calls. If it has very many aggregates, the rest is due after its exit, so that the event loop continues. */
  exited(tgid: number, out: ProcessEvent[]): void {
    let left = MOST_AT_ONCE
    for (const each of this.#processes.get(tgid) ?? []) {
      if (left-- > 0) this.#end(each, out)
      else this.#expect(each, 0)
    }
  }

  /** Detached hooks: their events are due. */
  retire(hookIds: readonly number[]): void {
    const gone = new Set(hookIds)
    for (const each of this.#waiting.values()) if (gone.has(each.hookId)) this.#expect(each, 0)
  }

  /** Adds all to `out`, when no program runs any more. */
  endAll(out: ProcessEvent[]): void {
    for (const each of this.#waiting.values()) this.#end(each, out, true)
  }

  /** `now`: also without its count. */
  #end(each: Waiting, out: ProcessEvent[], now: boolean = false): void {
    const taken = this.#options.take(each)
    if (taken !== 'later') this.#pass(each, taken, out)
    else if (now) this.#pass(each, 'unknown', out)
    else this.#expect(each, this.#clock.nowMs() + LATER_MS)
  }

  #pass(each: Waiting, taken: Exclude<Taken, 'later'>, out: ProcessEvent[]): void {
    this.#waiting.delete(each.name)
    removeFrom(this.#processes, each.tgid, each)
    removeFrom(this.#due, each.dueMs, each)
    this.#bytes -= each.size
    const { event, aggregation } = each
    if (taken === 'unknown') {
      this.lost++
      out.push(event)
      return
    }
    const { count, bytes, lastNs } = taken
    addTo(this.counted, event.hook, count - 1)
    const last = count === 1 ? event.time : this.#options.at(lastNs)
    out.push(changed(event, { aggregate: { count, ...(aggregation.bytes ? { bytes } : {}), last } }))
  }

  #expect(each: Waiting, dueMs: number): void {
    removeFrom(this.#due, each.dueMs, each)
    each.dueMs = dueMs
    putInto(this.#due, dueMs, each)
    this.#wakeAt(dueMs)
  }

  #wakeAt(dueMs: number): void {
    if (dueMs >= this.#nextMs) return
    this.#nextMs = dueMs
    this.#cancelTimer()
    // Never at once: the event loop gets a turn between two parts.
    this.#cancelTimer = this.#clock.after(Math.max(1, dueMs - this.#clock.nowMs()), this.#options.wake)
  }

  [Symbol.dispose](): void {
    this.#cancelTimer()
  }
}

function putInto(sets: Map<number, Set<Waiting>>, key: number, each: Waiting): void {
  const others = sets.get(key)
  if (others === undefined) sets.set(key, new Set([each]))
  else others.add(each)
}

function removeFrom(sets: Map<number, Set<Waiting>>, key: number, each: Waiting): void {
  const others = sets.get(key)
  others?.delete(each)
  if (others?.size === 0) sets.delete(key)
}
