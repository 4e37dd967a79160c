import type { Refusal } from '../../contract/exporter.ts'
import type { RefusalReason } from './outcome.ts'

interface Sum {
  readonly reason: RefusalReason
  readonly message: string
  events: number
  /** Absent if the sink reported only a number. */
  readonly which: number[] | undefined
}

/** Collects the refusals of a batch: per reason one with indexes, and one for events that are known only by their number. */
export class Refusals {
  readonly #sums = new Map<string, Sum>()
  #events = 0

  /** Events refused so far. */
  get events(): number {
    return this.#events
  }

  /** These events, by index in the batch. */
  add(reason: RefusalReason, which: readonly number[], message: string): void {
    if (which.length === 0) return
    const sum = this.#sum(`these ${reason}`, { reason, message, events: 0, which: [] })
    for (const index of which) sum.which?.push(index)
    this.#count(sum, which.length)
  }

  /** A number of unknown events. */
  addSome(reason: RefusalReason, events: number, message: string): void {
    if (events > 0) this.#count(this.#sum(`some ${reason}`, { reason, message, events: 0, which: undefined }), events)
  }

  #sum(key: string, empty: Sum): Sum {
    const found = this.#sums.get(key)
    if (found === undefined) this.#sums.set(key, empty)
    return found ?? empty
  }

  #count(sum: Sum, events: number): void {
    sum.events += events
    this.#events += events
  }

  list(): readonly Refusal[] {
    return [...this.#sums.values()].map(({ reason, events, which, message }) => {
      if (which === undefined) return { reason, events, message }
      return { reason, events, which: which.toSorted((a, b) => a - b), message }
    })
  }
}
