/** Consecutive 429s after which the batch is taken to be larger than the sink's burst, which never passes (§3.4). */
const PATIENCE = 3

/** How many events go in one request: all of a batch, or fewer after the sink has turned a batch down again and again. */
export class Pace {
  #refusals = 0
  #maxEvents = Number.POSITIVE_INFINITY

  get maxEvents(): number {
    return this.#maxEvents
  }

  /** A request of `events` was answered 429. */
  throttled(events: number): void {
    if (++this.#refusals % PATIENCE === 0) this.#maxEvents = Math.max(1, Math.floor(events / 2))
  }

  /** A request was answered in another way. */
  answered(): void {
    this.#refusals = 0
  }

  /** All of a batch is settled: the next is tried whole. */
  settled(): void {
    this.#maxEvents = Number.POSITIVE_INFINITY
  }
}
