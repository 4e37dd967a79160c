import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Account } from '../../soak/account.ts'

for (const { name, numbers, duplicates, late, missing } of [
  { name: 'all in order', numbers: [0, 1, 2, 3], duplicates: 0, late: 0, missing: 0 },
  { name: 'a gap', numbers: [0, 1, 3], duplicates: 0, late: 0, missing: 1 },
  { name: 'the end missing', numbers: [0, 1], duplicates: 0, late: 0, missing: 2 },
  { name: 'nothing', numbers: [], duplicates: 0, late: 0, missing: 4 },
  { name: 'one twice', numbers: [0, 1, 1, 2, 3], duplicates: 1, late: 0, missing: 0 },
  { name: 'one late', numbers: [0, 2, 1, 3], duplicates: 0, late: 1, missing: 0 },
  { name: 'a repetition is not late', numbers: [0, 1, 2, 3, 0, 1], duplicates: 2, late: 0, missing: 0 },
]) {
  it(`account: ${name}`, () => {
    const account = new Account()
    for (const number of numbers) account.take(number)
    assert.deepEqual([account.duplicates, account.late, account.missing(4)], [duplicates, late, missing])
  })
}

it('account: keeps its numbers when it grows', () => {
  const account = new Account()
  for (const number of [0, 7, 8, 3_000_000]) account.take(number)
  for (const number of [0, 7, 8, 3_000_000]) account.take(number)
  assert.deepEqual([account.distinct, account.duplicates], [4, 4])
})

it('account: throws for a number that was never published', () => {
  const account = new Account()
  account.take(4)
  assert.throws(() => account.missing(4), /expected numbers below 4, got 4/)
})
