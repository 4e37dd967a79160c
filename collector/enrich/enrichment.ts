/**
 * The stage between ingest and fan-out. Its enricher (collector/identity, hashes.ts, stacks/) has a bounded time for lookups:
 *
 *     events ─▶ pending? ─no──────────────────────────▶ on
 *                  └─yes─▶ wait, by process ─settled──▶ on
 *                              └─ out of time or bytes ▶ on, counted
 *
 * Constraints: events of one process keep their order and do not block events of other processes; nothing is dropped; waiting events are
 * bounded in bytes, and in time from the first event of the process. With a bound of 0 ms no event waits, so all keep the order of the
 * ring. Without an enricher, or with an idle one, `pass` returns its argument.
 *
 * There is no timer: while `waits`, the caller checks `due` every `ring.max_delay`, so an event waits at most that much longer than its bound.
 */
import type { Event, ProcessEvent } from '../../exporters/contract/event.ts'
import { EventSizes, isAboutAgent } from '../../exporters/index.ts'

export interface Enricher {
  /**
   * Returns undefined when nothing more can be looked up for the event's process. Else a promise that settles when the lookup has ended,
   * the same promise for the same lookup. Called for each event: must be cheap and never throw. An enricher that changes a process after
   * it was encoded must invalidate its renderings.
   */
  pending(event: ProcessEvent): Promise<unknown> | undefined
  /** No event needs a lookup now. */
  readonly idle?: boolean
}

/** Several enrichers as one: all start their look-ups at once. */
export function together(enrichers: readonly Enricher[]): Enricher {
  return {
    pending: (event) => {
      let first: Promise<unknown> | undefined
      for (const enricher of enrichers) first = enricher.pending(event) ?? first
      return first
    },
    get idle() {
      return enrichers.every(({ idle = false }) => idle)
    },
  }
}

export interface EnrichmentBounds {
  readonly bytes: number
  readonly ms: number
}

/** Reasons why events were passed on without the enricher's result. */
export type GaveUp = 'time' | 'bytes' | 'failed' | 'stopping'

/** A container runtime answers in milliseconds, a busy API server in a second. The bytes are a burst of 10,000 events. */
export const BOUNDS: EnrichmentBounds = { bytes: 8 << 20, ms: 2_000 }

/** The events of one process, oldest first. */
interface Waiting {
  readonly pid: number
  readonly sinceMs: number
  readonly sizes: EventSizes
  events: Array<{ readonly event: ProcessEvent; readonly bytes: number }>
  promise: Promise<unknown>
  failed: boolean
}

export class Enrichment {
  readonly #enricher: Enricher | undefined
  readonly #bounds: EnrichmentBounds
  readonly #nowMs: () => number
  /** Events passed on without the enricher's result, by reason. */
  readonly gaveUp: Record<GaveUp, number> = { time: 0, bytes: 0, failed: 0, stopping: 0 }
  /** By pid, also across an exec; the first to expire comes first. */
  readonly #waiting = new Map<number, Waiting>()
  /** Entries whose promise has settled. */
  #settled: Waiting[] = []
  /** Lookups that were given up: later events do not wait for them again. */
  readonly #abandoned = new WeakMap<Promise<unknown>, GaveUp>()
  #bytes = 0
  #ended = false

  /** `nowMs`: monotonic. */
  constructor(enricher?: Enricher, bounds: EnrichmentBounds = BOUNDS, nowMs: () => number = () => performance.now()) {
    this.#enricher = enricher
    this.#bounds = bounds
    this.#nowMs = nowMs
  }

  /** Returns the events that need not wait (any longer): first from the waiting ones, then from `events`. */
  pass(events: readonly Event[]): readonly Event[] {
    if (this.#enricher === undefined || (this.#enricher.idle === true && !this.waits)) return events
    const passed: Event[] = []
    this.#release(passed)
    for (const event of events) {
      if (isAboutAgent(event)) passed.push(event)
      else this.#take(event, passed)
    }
    return passed
  }

  /** Whether events wait here. */
  get waits(): boolean {
    return this.#waiting.size > 0
  }

  /** Whether `pass` would return waiting events. */
  get due(): boolean {
    if (this.#waiting.size === 0) return false
    return this.#ended || this.#settled.length > 0 || this.#expired() !== undefined
  }

  /** The waiting events. */
  get held(): { readonly bytes: number; readonly events: number } {
    const events = [...this.#waiting.values()].reduce((sum, waiting) => sum + waiting.events.length, 0)
    return { bytes: this.#bytes, events }
  }

  /** The agent or its run stops: the next `pass` returns everything, and no event waits any more, until `end(false)`. */
  end(isEnded = true): void {
    this.#ended = isEnded
  }

  #release(passed: Event[]): void {
    const settled = this.#settled
    this.#settled = []
    for (const waiting of settled) if (this.#holds(waiting)) this.#resume(waiting, passed)
    if (this.#ended) for (const waiting of this.#waiting.values()) this.#giveUp(waiting, 'stopping', passed)
    for (let old = this.#expired(); old !== undefined; old = this.#expired()) this.#giveUp(old, 'time', passed)
  }

  #take(event: ProcessEvent, passed: Event[]): void {
    const waiting = this.#waiting.get(event.process.pid)
    // The lookup begins now, also if the event has to wait for earlier ones.
    const wait = this.#waitOf(event)
    if (waiting !== undefined) this.#hold(waiting, event, passed)
    else if (wait instanceof Promise) this.#hold(this.#begin(event, wait), event, passed)
    else this.#emit(event, wait, passed)
  }

  /** A promise: the event must wait. A reason: it passes without the result. */
  #waitOf(event: ProcessEvent): Promise<unknown> | GaveUp | undefined {
    const promise = this.#enricher?.pending(event)
    if (promise === undefined) return undefined
    if (this.#bounds.ms === 0) return 'time'
    return this.#ended ? 'stopping' : (this.#abandoned.get(promise) ?? promise)
  }

  #emit(event: ProcessEvent, gaveUp: GaveUp | undefined, passed: Event[]): void {
    passed.push(event)
    if (gaveUp !== undefined) this.gaveUp[gaveUp]++
  }

  #begin({ process: { pid } }: ProcessEvent, promise: Promise<unknown>): Waiting {
    const sizes = new EventSizes()
    const waiting: Waiting = { pid, sinceMs: this.#nowMs(), sizes, events: [], promise, failed: false }
    this.#waiting.set(pid, waiting)
    this.#await(waiting, promise)
    return waiting
  }

  #await(waiting: Waiting, promise: Promise<unknown>): void {
    waiting.promise = promise
    const settle = (failed: boolean): void => {
      waiting.failed = failed
      this.#settled.push(waiting)
    }
    promise.then(
      () => settle(false),
      () => settle(true),
    )
  }

  #hold(waiting: Waiting, event: ProcessEvent, passed: Event[]): void {
    const bytes = waiting.sizes.of(event)
    const maxBytes = this.#bounds.bytes
    if (bytes > maxBytes) this.#giveUp(waiting, 'bytes', passed)
    // Gives up the longest wait first, which may belong to the event's own process.
    for (const oldest of this.#waiting.values()) {
      if (this.#bytes + bytes <= maxBytes || !this.#holds(waiting)) break
      this.#giveUp(oldest, 'bytes', passed)
    }
    if (this.#holds(waiting)) {
      waiting.events.push({ event, bytes })
      this.#bytes += bytes
    } else this.#emit(event, 'bytes', passed)
  }

  /** Passes events on after the promise has settled, up to the first that must wait for another promise, as after an exec. */
  #resume(waiting: Waiting, passed: Event[]): void {
    let gone = 0
    for (const { event, bytes } of waiting.events) {
      const wait = this.#waitOf(event)
      if (wait instanceof Promise && wait !== waiting.promise) {
        this.#await(waiting, wait)
        break
      }
      gone++
      this.#bytes -= bytes
      const failed = waiting.failed ? 'failed' : undefined
      this.#emit(event, typeof wait === 'string' ? wait : failed, passed)
    }
    waiting.events.splice(0, gone)
    if (waiting.events.length === 0) this.#waiting.delete(waiting.pid)
  }

  #giveUp(waiting: Waiting, why: GaveUp, passed: Event[]): void {
    this.#waiting.delete(waiting.pid)
    this.#abandoned.set(waiting.promise, why)
    for (const { event, bytes } of waiting.events) {
      this.#bytes -= bytes
      this.#emit(event, why, passed)
    }
  }

  #holds(waiting: Waiting): boolean {
    return this.#waiting.get(waiting.pid) === waiting
  }

  /** The oldest entry if its time is over. */
  #expired(): Waiting | undefined {
    for (const oldest of this.#waiting.values()) {
      return this.#nowMs() - oldest.sinceMs >= this.#bounds.ms ? oldest : undefined
    }
    return undefined
  }
}
