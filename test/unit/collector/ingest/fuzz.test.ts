/** Damaged records. `make fuzz` has millions; `node test/simulation/run.ts records --runs 1 --seed S` repeats one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fuzzRecords } from '../../../simulation/fuzz/records.ts'

const RUNS = 20_000

/** Seeds that once failed, with the reason. */
const AGAIN: ReadonlyArray<readonly [seed: number, was: string]> = [[305, 'a record that ends within a socket threw']]

for (const [seed, was] of AGAIN) {
  test(`damaged records, seed ${seed}: no longer: ${was}`, () => fuzzRecords(seed).then(() => undefined))
}

test(`damaged records: ${RUNS} chunks make events or are counted as malformed`, async () => {
  const total = { events: 0, malformed: 0 }
  for (let seed = 1; seed <= RUNS; seed++) {
    const { events, malformed } = await fuzzRecords(seed)
    total.events += events
    total.malformed += malformed
  }
  // Without these events the bytes would no longer resemble records.
  assert.ok(total.events > RUNS, JSON.stringify(total))
  assert.ok(total.malformed > RUNS / 10, JSON.stringify(total))
})
