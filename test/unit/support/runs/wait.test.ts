import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../../e2e/support/wait.ts'

test('until: looks again after a look that took longer than the time', async () => {
  let looks = 0
  const from = performance.now()
  const found = await until(
    'the second look',
    () => {
      looks++
      if (looks > 1) return true
      while (performance.now() - from <= 1);
      return false
    },
    { ms: 1 },
  )
  assert.deepEqual([found, looks], [true, 2])
})

test('until: throws with its condition and more if a look after the time finds nothing', async () => {
  await assert.rejects(
    until('a file', () => undefined, { ms: 1, more: () => '; got none' }),
    /^Error: waited 1 ms for: a file; got none$/,
  )
})
