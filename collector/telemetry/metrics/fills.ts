/** Common ways to put the samples of a metric. */
import type { Fill } from './page.ts'

/** One sample without labels. */
export const single =
  <T>(value: () => T): Fill<T> =>
  (put) =>
    put({}, value())

/** A sample for each key, which becomes the value of `label`. */
export const byKey =
  (label: string, counts: () => Readonly<Record<string, number>>): Fill =>
  (put) => {
    for (const [key, n] of Object.entries(counts())) put({ [label]: key }, n)
  }

/** A sample for each key and each key below it: `labels` in this order. */
export const byKeys =
  (
    labels: readonly [string, string],
    counts: () => Iterable<readonly [string, Iterable<readonly [string, number]>]>,
  ): Fill =>
  (put) => {
    for (const [first, below] of counts())
      for (const [second, n] of below) put({ [labels[0]]: first, [labels[1]]: second }, n)
  }
