/**
 * make compare BASE=REV: the cost of a hook in this tree and in another commit. They run in turn in one boot of a guest, because only figures
 * of one boot can be compared. Builds the commit once, in the cache. Exit code 1: something here is slower than SLOWER allows.
 *
 *   BASE=main    the other commit
 *   ROUNDS=3     runs of each; the fastest counts
 *   KERNEL=6.12  kernel of the guest
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { built, commitOf } from './guard/built.ts'
import type { Measure, Result } from './support/result.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const { BASE = 'main', KERNEL = '6.12' } = process.env
const ROUNDS = Number(process.env['ROUNDS'] || 3)
const BENCH = 'test/bench/guest/kernel-cost.bench.ts'
/** Emulated time of one boot still differs by some percent from run to run. */
const SLOWER = 1.1
/** A round of one tree takes about two minutes. */
const ROUND_S = 300

if (!Number.isInteger(ROUNDS) || ROUNDS < 1)
  throw new Error(`ROUNDS: expected a whole number, got "${process.env['ROUNDS']}"`)

/** Results of the rounds: of the other commit, of this tree, and so on. */
async function runs(base: string): Promise<Result[]> {
  const round = [base, ROOT].map(
    (tree) => `(cd '${tree}' && node --disable-warning=ExperimentalWarning --expose-gc ${BENCH})`,
  )
  const script = Array.from({ length: ROUNDS }, () => round.join(' && ')).join(' && ')
  const seconds = String(ROUNDS * 2 * ROUND_S)
  const guest = [
    '--timeout',
    seconds,
    '--measured',
    '--verbose',
    '--',
    'env',
    'KTRAIL_BENCH_QUICK=1',
    'sh',
    '-c',
    script,
  ]
  const child = spawn('test/support/guest/run.sh', [KERNEL, ...guest], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const found: Result[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{')) continue
    found.push(JSON.parse(line) as Result)
    console.error(`${found.length} of ${ROUNDS * 2} runs`)
  }
  if (found.length !== ROUNDS * 2) throw new Error(`the guest made ${found.length} runs of ${ROUNDS * 2}: see above`)
  return found
}

const commit = commitOf(BASE)
const results = await runs(built(commit))
const least = (results: readonly Result[], { name, unit }: Measure): number =>
  Math.min(
    ...results.map(
      ({ measures }) => measures.find((each) => each.name === name && each.unit === unit)?.value ?? Number.NaN,
    ),
  )
const [before, here] = [0, 1].map((tree) => results.filter((_, i) => i % 2 === tree))
const measures = (here?.[0]?.measures ?? []).filter(({ unit }) => unit.startsWith('ns') || unit === 'instructions')
/** Names of the units in the output. */
const OF: Readonly<Record<string, string>> = {
  'ns per call, kernel statistics': 'call',
  'ns added to a pread': 'pread',
}
const row = (label: string, was: string, is: string, ratio: string): void =>
  console.log(`${label.padEnd(52)}${was.padStart(9)}${is.padStart(9)}${ratio.padStart(8)}`)
const slower: string[] = []
row('ns, or instructions of the verifier', commit.slice(0, 7), 'here', 'ratio')
for (const measure of measures) {
  const [was, is] = [least(before ?? [], measure), least(here ?? [], measure)]
  if (Number.isNaN(was)) continue
  const of = OF[measure.unit]
  const label = `${measure.name.replace(' (default here)', '')}${of === undefined ? '' : `, ${of}`}`
  row(label, was.toFixed(0), is.toFixed(0), (is / was).toFixed(2))
  // The time of a pread has the noise of everything else in it; the empty programs show how much.
  if (of === 'call' && is / was > SLOWER && !label.startsWith('empty')) slower.push(label)
}
const limit = `${Math.round((SLOWER - 1) * 100)} % above ${commit.slice(0, 7)}`
console.log(slower.length === 0 ? `no call takes more than ${limit}` : `more than ${limit}: ${slower.join('; ')}`)
process.exitCode = slower.length === 0 ? 0 : 1
