import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holdDelayMs, retryDelayMs } from '../../../../exporters/sending/retry.ts'

const retry = { initial: 100, max: 1000 }

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
  [1, 0.5, 3_600_000, 3_600_000],
  [1, 0.5, 3_600_001, 3_600_000],
  [1, 0.5, 1e13, 3_600_000],
  [1, 0.5, Infinity, 3_600_000],
]
for (const [attempt, random, afterMs, want] of ROWS) {
  test(`retry: after try ${attempt}, random ${random}, named time ${afterMs}, waits ${want} ms`, () => {
    assert.equal(
      retryDelayMs(attempt, retry, () => random, afterMs),
      want,
    )
  })
}

test('retry: waits for manual action grow up to five minutes', () => {
  const waits = [1, 2, 3, 4, 5, 50, 5000].map((holds) => holdDelayMs(holds, { initial: 1000, max: 30_000 }))
  assert.deepEqual(waits, [30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000])
  assert.equal(holdDelayMs(3, { initial: 1000, max: 600_000 }), 600_000, 'as long as configured')
})
