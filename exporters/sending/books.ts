import type { Books, DropReason } from '../exporter.ts'

/**
 * One exporter's accounts. Every event offered to a sender passes `accept` once and then exactly one of `deliver`,
 * `reject` or `drop`; what has not yet done so is held, and `imbalance` compares both.
 */
export class BookKeeper {
  #accepted = 0
  #delivered = 0
  #deliveredBytes = 0
  #settled = 0
  #retries = 0
  #lastError = ''
  readonly #rejected = new Map<string, number>()
  readonly #dropped: Record<DropReason, number> = { queue_full: 0, expired: 0, shutdown: 0 }

  accept(events: number): void {
    this.#accepted += events
  }

  deliver(events: number, bytes: number): void {
    this.#delivered += events
    this.#deliveredBytes += bytes
    this.#settled += events
  }

  reject(reason: string, events: number): void {
    this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + events)
    this.#settled += events
  }

  drop(reason: DropReason, events: number): void {
    this.#dropped[reason] += events
    this.#settled += events
  }

  retry(): void {
    this.#retries++
  }

  /** '' once things work again. */
  note(error: string): void {
    this.#lastError = error
  }

  /** Accepted events that are neither settled nor among `held`; anything but 0 is a bug in this program. */
  imbalance(held: number): number {
    return this.#accepted - this.#settled - held
  }

  /** The accounts now, as a value of its own. */
  snapshot(state: Books['state'], heldEvents: number, heldBytes: number): Books {
    return {
      accepted: this.#accepted,
      delivered: this.#delivered,
      deliveredBytes: this.#deliveredBytes,
      rejected: Object.fromEntries(this.#rejected),
      dropped: { ...this.#dropped },
      heldEvents,
      heldBytes,
      retries: this.#retries,
      lastError: this.#lastError,
      state,
    }
  }
}
