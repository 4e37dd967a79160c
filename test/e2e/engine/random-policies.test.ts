/**
 * Random sets of policies on a few functions. A plain evaluator predicts every event of every hook: its call, its place in the
 * order, its selector, its arguments and its return value.
 *
 * KTRAIL_SETS sets, from number KTRAIL_FROM on, of seed KTRAIL_SEED; `make random-policies` runs many. To repeat sets that
 * failed: `make random-policies SETS=10 FROM=<the first number> SEED=<the seed>`.
 */
import assert from 'node:assert/strict'
import test, { describe } from 'node:test'
import type { AttachMode } from '../../../collector/plan/plan.ts'
import { compareSets } from '../../support/policies/compare.ts'
import { LoadedKernel } from '../../support/policies/loading.ts'
import { cannotRun } from '../support/agent.ts'

const skip = cannotRun()
const SETS = Number(process.env['KTRAIL_SETS'] || 12)
const FROM = Number(process.env['KTRAIL_FROM'] || 0)
/** `make test` uses the same sets each time, so a change has broken a set that fails there. */
const SEED = Number(process.env['KTRAIL_SEED'] || 1)
/** Sets of hundreds of policies take long: only if KTRAIL_SETS is set. */
const MOST = process.env['KTRAIL_SETS'] ? Infinity : 4
/** Ways to attach hooks, by number of the set. If the kernel lacks a way, another one is used. */
const MODES: ReadonlyArray<AttachMode | 'auto'> = ['auto', 'join', 'auto', 'kprobe.session', 'kprobe', 'fexit']
/** Number of sets that are loaded together and attached in one way, because loading takes most of the time. */
const SETS_AT_ONCE = process.env['KTRAIL_SETS'] ? 10 : 2
const RING_BYTES = 64 << 20
const SHOWN = 3

/** Numbers of the sets, grouped as they are loaded together. */
function parts(): number[][] {
  const found: number[][] = []
  for (let set = FROM; set < FROM + SETS; set++) {
    if (found.length === 0 || set % SETS_AT_ONCE === 0) found.push([])
    found.at(-1)?.push(set)
  }
  return found
}

describe('random policies', { skip, timeout: 36_000_000 }, () => {
  const sum = { policies: 0, calls: 0, events: 0 }
  for (const sets of parts()) {
    const [first = 0] = sets
    const mode = MODES[Math.floor(first / SETS_AT_ONCE) % MODES.length] ?? 'auto'
    test(`random policies: ${sets.length} from ${first}, seed ${SEED}, attached by ${mode}`, async (t) => {
      using kernel = await LoadedKernel.open(mode, RING_BYTES)
      const { policies, calls, events, differences } = await compareSets(kernel, SEED, sets, MOST)
      sum.policies += policies
      sum.calls += calls
      sum.events += events
      for (const text of differences.slice(0, SHOWN)) t.diagnostic(`seed ${SEED}, sets from ${first}, ${mode}: ${text}`)
      assert.deepEqual(kernel.losses(), {})
      assert.equal(differences.length, 0, 'hooks reported something else, see above')
    })
  }
  test('random policies: some calls are events, and some are not', (t) => {
    t.diagnostic(`${SETS} sets: ${sum.policies} policies, ${sum.calls} calls, ${sum.events} events`)
    assert.ok(sum.events > sum.calls / 10 && sum.events < sum.calls * sum.policies)
  })
})
