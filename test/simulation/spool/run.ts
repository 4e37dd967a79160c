/**
 * Runs many lives of a spool: `node test/simulation/spool/run.ts [--runs N] [--seed S] [--trace]`. Stops at the first that fails and
 * prints its seed, which then becomes a row of test/unit/exporters/spool/simulation.test.ts.
 */
import { parseArgs } from 'node:util'
import { simulate } from './simulate.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    trace: { type: 'boolean' },
  },
})
const runs = Number(values.runs)
const first = Number(values.seed)
if (!Number.isSafeInteger(runs) || !Number.isSafeInteger(first) || runs < 1)
  throw new Error('expected --runs N --seed S, both whole numbers')

const totals = { crashes: 0, injected: 0, flips: 0, delivered: 0, lost: 0, appended: 0 }
const started = performance.now()
let seed = first
try {
  for (; seed < first + runs; seed++) {
    const facts = await simulate(seed, values.trace === true ? console.log : undefined)
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += facts[key]
    if ((seed - first + 1) % 50_000 === 0) report(seed - first + 1)
  }
  report(runs)
} catch (error) {
  console.error(
    `seed ${seed} failed after ${seed - first} good ones: ${error instanceof Error ? error.stack : String(error)}`,
  )
  process.exitCode = 1
}

function report(done: number): void {
  const seconds = (performance.now() - started) / 1000
  console.log(`${done} runs, ${Math.round(done / seconds)} runs/s, ${JSON.stringify(totals)}`)
}
