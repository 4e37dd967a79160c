/**
 * Gap-free numbers of events, `<epoch>-<n>`. Events get them at the fan-out, after every stage that may reorder them. So numbers rise in
 * the order in which exporters get the events, and a batch only needs its first number.
 */
import type { Event } from '../../exporters/contract/event.ts'

export class Sequence {
  #next: number

  constructor(first = 0) {
    this.#next = first
  }

  /** Numbers the events in order; returns the same array. */
  number<T extends Event>(events: readonly T[]): readonly T[] {
    let next = this.#next
    for (const event of events) event.seq = next++
    this.#next = next
    return events
  }
}
