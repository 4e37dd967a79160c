/** A histogram of plain counters, cheap enough for the sending chain. */

import type { HistogramCounts } from '../contract/accounting.ts'

/** Seconds, from the CPU time of one batch to a response just before the timeout. */
export const REQUEST_SECONDS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60]
/** Seconds, from a local file to an outage of a day. */
export const LATENCY_SECONDS: readonly number[] = [0.01, 0.1, 0.25, 0.5, 1, 5, 10, 60, 600, 3600, 21_600, 86_400]

export class Histogram implements HistogramCounts {
  readonly bounds: readonly number[]
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  /** Counts a value `times` times. A value below 0 (the system time went back) counts as 0. */
  add(value: number, times = 1): void {
    const size = Math.max(0, value)
    let bucket = 0
    while (bucket < this.bounds.length && size > (this.bounds[bucket] ?? 0)) bucket++
    this.counts[bucket] = (this.counts[bucket] ?? 0) + times
    this.sum += size * times
  }
}
