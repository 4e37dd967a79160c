/** Records that never arrived → findings. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MissingRecords } from '../../../../collector/guard/missing-records.ts'

test('missing records: reported after two checks in a row, and again only for more', () => {
  let imbalance = 0
  const missing = new MissingRecords(() => imbalance)
  const look = (now: number): string | undefined => {
    imbalance = now
    return missing.check()[0]?.got
  }
  assert.deepEqual([0, 5, 0, 5, 5, 5, 5].map(look), [
    undefined,
    undefined,
    undefined,
    undefined,
    '5 records did not arrive',
    undefined,
    undefined,
  ])
  assert.deepEqual([9, 7, 7].map(look), [undefined, '2 records did not arrive', undefined])
})
