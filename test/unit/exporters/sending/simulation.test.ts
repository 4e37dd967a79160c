/** Lives of a whole sending chain. `node test/simulation/run.ts chain --runs 1 --seed S --trace` shows one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulateChain } from '../../../simulation/chain/simulate.ts'
import type { ChainFacts } from '../../../simulation/chain/simulate.ts'

/** Each run uses the same seeds; `make simulate` runs a million others. */
const LIVES = 500
const PACKED_LIVES = 200
const RELOADED_LIVES = 200

/** Seeds that once failed, with the reason. */
const AGAIN: ReadonlyArray<readonly [seed: number, was: string]> = [
  [1652, 'a loss reported during an append counted copies as events'],
  [282378, 'an empty read during an append forgot copies, and a loss then counted them'],
  [36300, 'what a device refused to give, and gave to the next run, is no reordering'],
  [40146474, 'a cursor that stands within a frame after a fault of the disk put the account of the spool wrong'],
  [20377638, 'the same for what that segment had only just written anew'],
  [9004217, 'a power cut brought back a segment that the start before had given up for a later one'],
  [
    60008371,
    'a power cut reverted a flipped bit, and with it frames that a kill had written and the next run dropped as corrupt',
  ],
  [10791717, 'a power cut brought back a torn tail that the start before had cut off'],
  [61839, 'a stop dropped a batch of which a full disk had taken a part, and that part too'],
]
/** Seeds of lives with a spool that packs. */
const PACKED_AGAIN: typeof AGAIN = [
  [438036, 'a stop on a disk that hung took for kept what the spool had dropped to make room for the append that hung'],
]

for (const [seed, was] of AGAIN) {
  test(`chain, simulated, seed ${seed}: no longer: ${was}`, () => simulateChain(seed).then(() => undefined))
}

for (const [seed, was] of PACKED_AGAIN) {
  test(`chain that packs, simulated, seed ${seed}: no longer: ${was}`, () =>
    simulateChain(seed, undefined, 'packed').then(() => undefined))
}

test('chain, simulated: 200 lives with a spool that packs keep every guarantee', async () => {
  for (let seed = 1; seed <= PACKED_LIVES; seed++) {
    try {
      await simulateChain(seed, undefined, 'packed')
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
})

test('chain, simulated: 200 lives in which the sink is replaced keep every guarantee', async (t) => {
  const totals = { reloads: 0, repeated: 0, taken: 0 }
  for (let seed = 1; seed <= RELOADED_LIVES; seed++) {
    try {
      const { reloads, repeated, taken } = await simulateChain(seed, undefined, 'reloaded')
      totals.reloads += reloads
      totals.repeated += repeated
      totals.taken += taken
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
  assert.ok(totals.reloads > RELOADED_LIVES, `only ${totals.reloads} reloads`)
  t.diagnostic(JSON.stringify(totals))
})

test('chain, simulated: 500 lives with failing and misbehaving sinks, kills, crashes and failing disks keep every guarantee', async (t) => {
  const totals = new Map<keyof ChainFacts, number>()
  for (let seed = 1; seed <= LIVES; seed++) {
    try {
      const facts = await simulateChain(seed)
      for (const key of Object.keys(facts) as (keyof ChainFacts)[]) totals.set(key, (totals.get(key) ?? 0) + facts[key])
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
  // The simulation must inject enough faults.
  for (const key of [
    'kills',
    'crashes',
    'stops',
    'injected',
    'flips',
    'repeated',
    'refused',
    'spooled',
    'lost',
  ] as const) {
    assert.ok((totals.get(key) ?? 0) > 50, `${key}: ${totals.get(key)}`)
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(totals)))
})
