/** A histogram of plain counters, cheap enough for the sending chain; a metric reads it when it is asked for. */

import type { HistogramCounts } from '../contract/accounting.ts'

/** Seconds, from what one core does to a batch to a sink that answers just before its time-out. */
export const REQUEST_SECONDS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60]
/** Seconds, from a file on the same machine to an outage of a weekend. */
export const LATENCY_SECONDS: readonly number[] = [0.01, 0.1, 0.25, 0.5, 1, 5, 10, 60, 600, 3600, 21_600, 86_400]

export class Histogram implements HistogramCounts {
  readonly bounds: readonly number[]
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  /** Counts `times` values of one size. A value below 0, as when a wall clock went back, counts as 0. */
  add(value: number, times = 1): void {
    const size = Math.max(0, value)
    let bucket = 0
    while (bucket < this.bounds.length && size > (this.bounds[bucket] ?? 0)) bucket++
    this.counts[bucket] = (this.counts[bucket] ?? 0) + times
    this.sum += size * times
  }
}
