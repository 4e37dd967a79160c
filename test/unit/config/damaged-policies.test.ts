/** Policies with any mistakes. `make fuzz` has many more; `node test/simulation/run.ts policies --runs 1 --seed S` repeats one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fuzzPolicies } from '../../simulation/fuzz/policies.ts'

const RUNS = 1_000

test(`damaged policies: ${RUNS} texts load or are refused, with a place and a sentence`, async () => {
  const total = { loaded: 0, problems: 0 }
  for (let seed = 1; seed <= RUNS; seed++) {
    const { loaded, problems } = await fuzzPolicies(seed)
    total.loaded += loaded
    total.problems += problems
  }
  // Without these matches the texts would no longer resemble policies.
  assert.ok(total.loaded > 0, JSON.stringify(total))
  assert.ok(total.problems > RUNS, JSON.stringify(total))
})
