/**
 * Runs many random lives: `node test/simulation/run.ts spool|chain|packed|reloaded|records|policies [--runs N] [--seed S] [--trace]`. Stops at the first
 * failure and prints its seed, which then becomes a row of the unit test of the same name.
 */
import { parseArgs } from 'node:util'
import { fuzzPolicies } from './fuzz/policies.ts'
import { fuzzRecords } from './fuzz/records.ts'
import { simulateChain } from './chain/simulate.ts'
import { simulate as simulateSpool } from './spool/simulate.ts'

type Simulate = (seed: number, trace?: (line: string) => void) => Promise<object>

const KINDS: Readonly<Record<string, Simulate>> = {
  spool: simulateSpool,
  records: fuzzRecords,
  policies: fuzzPolicies,
  chain: simulateChain,
  packed: (seed, trace) => simulateChain(seed, trace, 'packed'),
  reloaded: (seed, trace) => simulateChain(seed, trace, 'reloaded'),
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
  },
})
const [kind = ''] = positionals
const simulate = KINDS[kind]
const runs = Number(values.runs)
const first = Number(values.seed)
if (simulate === undefined || !Number.isSafeInteger(runs) || !Number.isSafeInteger(first) || runs < 1)
  throw new Error(`expected ${Object.keys(KINDS).join(', ')}, --runs N and --seed S, both whole numbers, got "${kind}"`)

const totals = new Map<string, number>()
const started = performance.now()
let seed = first
try {
  for (; seed < first + runs; seed++) {
    const facts = await simulate(seed, values.trace ? console.log : undefined)
    for (const [key, count] of Object.entries(facts)) totals.set(key, (totals.get(key) ?? 0) + Number(count))
    if ((seed - first + 1) % 50_000 === 0) report(seed - first + 1)
  }
  report(runs)
} catch (error) {
  console.error(
    `${kind}: seed ${seed} failed after ${seed - first} good ones: ${error instanceof Error ? error.stack : String(error)}`,
  )
  process.exitCode = 1
}

function report(done: number): void {
  const seconds = (performance.now() - started) / 1000
  console.log(
    `${kind}: ${done} runs, ${Math.round(done / seconds)} runs/s, ${JSON.stringify(Object.fromEntries(totals))}`,
  )
}
