import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retryDelayMs } from '../../../../exporters/sending/retry.ts'

const retry = { initialMs: 100, maxMs: 1000 }

/** [attempt, random, afterMs, want] */
const ROWS: ReadonlyArray<readonly [number, number, number | undefined, number]> = [
  [1, 0.5, undefined, 50],
  [2, 0.5, undefined, 100],
  [3, 0.5, undefined, 200],
  [4, 0.999, undefined, 799],
  [5, 0.5, undefined, 500],
  [60, 0.5, undefined, 500],
  [100_000, 0.5, undefined, 500],
  [1, 0, undefined, 0],
  [1, 0.5, 7000, 7000],
  [9, 0.5, 0, 0],
  [9, 0.5, -5, 0],
]
for (const [attempt, random, afterMs, want] of ROWS) {
  test(`retry: after try ${attempt}, random ${random}, named time ${afterMs}, waits ${want} ms`, () => {
    assert.equal(
      retryDelayMs(attempt, retry, () => random, afterMs),
      want,
    )
  })
}
