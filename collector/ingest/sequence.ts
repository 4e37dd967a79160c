/**
 * The gap-free numbers of events, `<epoch>-<n>` with the name of the run. Given where events enter the fan-out, after every stage that
 * may let one overtake another: so numbers rise in the order in which exporters get the events, and a batch needs only its first.
 */
import type { Event } from '../../exporters/contract/event.ts'

export class Sequence {
  #next: number

  constructor(first = 0) {
    this.#next = first
  }

  /** The number that the next event gets. */
  get next(): number {
    return this.#next
  }

  /** Gives the events their numbers, in their order; returns the same array. */
  number<T extends Event>(events: readonly T[]): readonly T[] {
    let next = this.#next
    for (const event of events) event.seq = next++
    this.#next = next
    return events
  }
}
