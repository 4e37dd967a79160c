/**
 * The stage between ingest and fan-out in which an enricher (containers, pods) has a bounded time to learn of a process:
 *
 *     events ─▶ pending? ─no──────────────────────────▶ on
 *                  └─yes─▶ wait, by process ─settled──▶ on
 *                              └─ out of time or bytes ▶ on, counted
 *
 * Constraints: events of a process keep their order, and those of others pass; nothing is dropped; what waits is bounded in bytes, and in
 * time from the first event of the process. Without an enricher it costs nothing: the same array comes out.
 *
 * No timer: the line asks `due` whenever the ring is empty, so an event waits at most `ring.max_delay` longer than its bound.
 */
import type { Event, ProcessEvent } from '../../exporters/contract/event.ts'
import { EventSizes } from '../delivery/event-size.ts'

export interface Enricher {
  /**
   * undefined when everything is known of the event's process. Otherwise a promise that settles when it is, or never will be; the same
   * promise as long as it is the same wait. Called for each event: cheap, never throws. An enricher that adds something to a process that was
   * encoded before also drops its renderings (`Rendered.cache`).
   */
  pending(event: ProcessEvent): Promise<unknown> | undefined
}

export interface EnrichmentBounds {
  readonly bytes: number
  readonly ms: number
}

/** Why events went on without what their enricher was to learn. */
export type GaveUp = 'time' | 'bytes' | 'failed' | 'stopping'

/** A container runtime answers in milliseconds, a busy API server in a second. The bytes are a burst of 10,000 events. */
const BOUNDS: EnrichmentBounds = { bytes: 8 << 20, ms: 2_000 }

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
  /** Events that went on without, by reason. */
  readonly gaveUp: Record<GaveUp, number> = { time: 0, bytes: 0, failed: 0, stopping: 0 }
  /** By pid, also across an exec; in the order in which their time ends. */
  readonly #waiting = new Map<number, Waiting>()
  /** Those whose promise has settled. */
  #settled: Waiting[] = []
  /** Promises that were given up: later events do not wait for them again. */
  readonly #vain = new WeakMap<Promise<unknown>, GaveUp>()
  #bytes = 0
  #ended = false

  /** `nowMs` never goes back. */
  constructor(enricher?: Enricher, bounds: EnrichmentBounds = BOUNDS, nowMs: () => number = () => performance.now()) {
    this.#enricher = enricher
    this.#bounds = bounds
    this.#nowMs = nowMs
  }

  /** What can go on now: of what waited, then of `events`. */
  pass(events: readonly Event[]): readonly Event[] {
    if (this.#enricher === undefined) return events
    const passed: Event[] = []
    this.#release(passed)
    for (const event of events) {
      if (event.type === 'events_lost') passed.push(event)
      else this.#take(event, passed)
    }
    return passed
  }

  /** Something that waited can go on: call `pass`. */
  get due(): boolean {
    if (this.#waiting.size === 0) return false
    return this.#ended || this.#settled.length > 0 || this.#expired() !== undefined
  }

  /** What waits now. */
  get held(): { readonly bytes: number; readonly events: number } {
    const events = [...this.#waiting.values()].reduce((sum, waiting) => sum + waiting.events.length, 0)
    return { bytes: this.#bytes, events }
  }

  /** The agent stops: the next `pass` lets everything go, and nothing waits any more. */
  end(): void {
    this.#ended = true
  }

  #release(passed: Event[]): void {
    const settled = this.#settled
    this.#settled = []
    for (const waiting of settled) if (this.#holds(waiting)) this.#goOn(waiting, passed)
    if (this.#ended) for (const waiting of this.#waiting.values()) this.#giveUp(waiting, 'stopping', passed)
    for (let old = this.#expired(); old !== undefined; old = this.#expired()) this.#giveUp(old, 'time', passed)
  }

  #take(event: ProcessEvent, passed: Event[]): void {
    const waiting = this.#waiting.get(event.process.pid)
    const wait = waiting === undefined ? this.#waitOf(event) : undefined
    if (waiting !== undefined) this.#hold(waiting, event, passed)
    else if (wait instanceof Promise) this.#hold(this.#begin(event, wait), event, passed)
    else this.#let(event, wait, passed)
  }

  /** A promise: it must wait; a reason: it goes on without. */
  #waitOf(event: ProcessEvent): Promise<unknown> | GaveUp | undefined {
    const promise = this.#enricher?.pending(event)
    if (promise === undefined) return undefined
    return this.#ended ? 'stopping' : (this.#vain.get(promise) ?? promise)
  }

  #let(event: ProcessEvent, without: GaveUp | undefined, passed: Event[]): void {
    passed.push(event)
    if (without !== undefined) this.gaveUp[without]++
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
    const most = this.#bounds.bytes
    if (bytes > most) this.#giveUp(waiting, 'bytes', passed)
    // The process that has waited longest gives way; it may be the event's own.
    for (const oldest of this.#waiting.values()) {
      if (this.#bytes + bytes <= most || !this.#holds(waiting)) break
      this.#giveUp(oldest, 'bytes', passed)
    }
    if (this.#holds(waiting)) {
      waiting.events.push({ event, bytes })
      this.#bytes += bytes
    } else this.#let(event, 'bytes', passed)
  }

  /** The promise has settled: all go on up to the first that must wait for another, as after an exec. */
  #goOn(waiting: Waiting, passed: Event[]): void {
    let gone = 0
    for (const { event, bytes } of waiting.events) {
      const wait = this.#waitOf(event)
      if (wait instanceof Promise && wait !== waiting.promise) {
        this.#await(waiting, wait)
        break
      }
      gone++
      this.#bytes -= bytes
      const without = waiting.failed ? 'failed' : undefined
      this.#let(event, typeof wait === 'string' ? wait : without, passed)
    }
    waiting.events.splice(0, gone)
    if (waiting.events.length === 0) this.#waiting.delete(waiting.pid)
  }

  #giveUp(waiting: Waiting, why: GaveUp, passed: Event[]): void {
    this.#waiting.delete(waiting.pid)
    this.#vain.set(waiting.promise, why)
    for (const { event, bytes } of waiting.events) {
      this.#bytes -= bytes
      this.#let(event, why, passed)
    }
  }

  #holds(waiting: Waiting): boolean {
    return this.#waiting.get(waiting.pid) === waiting
  }

  /** The oldest, when its time is over. */
  #expired(): Waiting | undefined {
    for (const oldest of this.#waiting.values()) {
      return this.#nowMs() - oldest.sinceMs >= this.#bounds.ms ? oldest : undefined
    }
    return undefined
  }
}
