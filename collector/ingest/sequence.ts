/**
 * The numbers of events, without gaps: `<epoch>-<n>`, where the epoch names the run. They are given where events enter the fan-out, after
 * the stage in which one event may overtake another. So they rise in the order in which exporters get the events, and the first number of a
 * batch names all of it.
 */
import type { Event } from '../../exporters/contract/event.ts'

export class Sequence {
  #next: number

  constructor(first = 0) {
    this.#next = first
  }

  /** Gives the events their numbers, in their order; returns the same array. */
  number<T extends Event>(events: readonly T[]): readonly T[] {
    let next = this.#next
    for (const event of events) event.seq = next++
    this.#next = next
    return events
  }
}
