import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LONG, notToday } from '../../../support/long.ts'

test(
  'parts of a sampled table: one runs each day, each part runs within as many days as there are parts',
  { skip: LONG },
  () => {
    for (const rows of [1, 2, 3, 5]) {
      const ran = new Set<number>()
      for (let day = 20_789; day < 20_789 + rows; day++) {
        const today = Array.from({ length: rows }, (_, row) => row).filter((row) => notToday(row, rows, day) === false)
        assert.equal(today.length, 1)
        for (const row of today) ran.add(row)
      }
      assert.equal(ran.size, rows)
    }
    assert.equal(notToday(0, 3, 1), 'part 2 of 3 runs today; KTRAIL_LONG=1 runs all')
  },
)
