import type { Resent } from '../contract/exporter.ts'
import type { Sink } from './chain.ts'

type Counts = Readonly<Record<string, number>>

/** Totals of the sinks that a reload has replaced, so that an exporter's counters never fall. */
export class EarlierSinks {
  #counters: Counts | undefined
  #deadLetters: Counts | undefined
  #resent: Resent = { requests: 0, events: 0 }

  /** Adds a sink that sends nothing more. */
  add({ exporter, deadLetters }: Sink): void {
    this.#counters = this.counters(exporter.counters)
    this.#deadLetters = this.deadLetters(deadLetters?.counters)
    this.#resent = this.resent(exporter.resent)
  }

  /** These and the present sink's; undefined when there are none. */
  counters(present: Counts | undefined): Counts | undefined {
    return sum(this.#counters, present)
  }

  deadLetters(present: Counts | undefined): Counts | undefined {
    return sum(this.#deadLetters, present)
  }

  resent({ requests, events }: Resent = { requests: 0, events: 0 }): Resent {
    return { requests: this.#resent.requests + requests, events: this.#resent.events + events }
  }
}

function sum(before: Counts | undefined, present: Counts | undefined): Counts | undefined {
  if (before === undefined || present === undefined) return before ?? present
  const names = Object.keys({ ...before, ...present })
  return Object.fromEntries(names.map((name) => [name, (before[name] ?? 0) + (present[name] ?? 0)]))
}
