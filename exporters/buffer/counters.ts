import type { Span } from '../contract/encoded.ts'
import type { Accounting, DropReason, Lost } from '../contract/accounting.ts'

export const NOTHING_DROPPED: Readonly<Record<DropReason, number>> = {
  queue_full: 0,
  rate_limit: 0,
  expired: 0,
  shutdown: 0,
  spool_full: 0,
  spool_failed: 0,
  memory: 0,
  corrupt: 0,
  dead_letter_failed: 0,
}

/**
 * One exporter's accounting. Every event passes `accept` once and then exactly one of `deliver`, `reject` or `drop`; until then it
 * is held. `imbalance` compares both.
 */
export class Counters {
  #accepted = 0
  #delivered = 0
  #deliveredBytes = 0
  #settled = 0
  #retries = 0
  #lastError = ''
  readonly #rejected = new Map<string, number>()
  readonly #dropped = { ...NOTHING_DROPPED }
  readonly #onLost: (lost: Lost) => void

  /** `onLost` is called for dropped or rejected events with known sequence numbers. */
  constructor(onLost: (lost: Lost) => void = () => {}) {
    this.#onLost = onLost
  }

  accept(events: number): void {
    this.#accepted += events
  }

  deliver(events: number, bytes: number): void {
    this.#delivered += events
    this.#deliveredBytes += bytes
    this.#settled += events
  }

  reject(reason: string, events: number, span?: Span): void {
    this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + events)
    this.#settled += events
    if (span !== undefined && events > 0) this.#onLost({ reason, events, ...span })
  }

  drop(reason: DropReason, events: number, span?: Span): void {
    this.#dropped[reason] += events
    this.#settled += events
    if (span !== undefined && events > 0) this.#onLost({ reason, events, ...span })
  }

  retry(): void {
    this.#retries++
  }

  /** Sets the last error; '' when it works again. */
  note(error: string): void {
    this.#lastError = error
  }

  /** Accepted events that are neither settled nor in `held`; not 0 means a bug. */
  imbalance(held: number): number {
    return this.#accepted - this.#settled - held
  }

  /** A copy of the current accounting. */
  snapshot(held: Pick<Accounting, 'state' | 'heldEvents' | 'queueEvents' | 'queueBytes'>): Accounting {
    return {
      accepted: this.#accepted,
      delivered: this.#delivered,
      deliveredBytes: this.#deliveredBytes,
      rejected: Object.fromEntries(this.#rejected),
      dropped: { ...this.#dropped },
      ...held,
      retries: this.#retries,
      lastError: this.#lastError,
    }
  }
}
