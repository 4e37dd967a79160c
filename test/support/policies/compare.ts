/** One random set of policies on a real kernel: what it reports, compared with what the evaluator predicts. */
import { mkdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Seeded } from '../../simulation/spool/random.ts'
import { Calls, callsBinary } from './calls.ts'
import { accepts, policyText, predicted } from './evaluator.ts'
import type { Call, PolicyDocument, Prediction, Report } from './evaluator.ts'
import { Policies } from './generate.ts'
import { reported } from './loading.ts'
import type { LoadedKernel } from './loading.ts'
import type { ProcessFacts } from './process-filters.ts'
import { World } from './world.ts'

export interface Outcome {
  readonly policies: number
  readonly calls: number
  readonly events: number
  /** One text for each hook that reported something else. */
  readonly differences: readonly string[]
}

/** Most of a set; some sets have 40 policies, few 200. */
const FEW = 12

function sizeOf(random: Seeded, most: number): number {
  const size = random.chance(0.02) ? 40 : random.chance(0.001) ? 200 : 1 + Math.floor(random.next() ** 2 * FEW)
  return Math.min(size, most)
}

/** The same seed and number are the same set on every machine. `most`: no set has more policies. */
export async function compareSet(
  kernel: LoadedKernel,
  seed: number,
  set: number,
  most: number = Infinity,
): Promise<Outcome> {
  const random = new Seeded(seed * 1_000_003 + set)
  const top = join(process.env['KTRAIL_TMP'] ?? tmpdir(), `ktrail-random-${set}`)
  mkdirSync(top)
  const world = new World(random, top)
  const program = callsBinary()
  const policies = new Policies(random, world, [program, realpathSync(process.execPath)]).set(sizeOf(random, most))
  try {
    using made = await Calls.start(world.setup, [world.lines])
    const got = new Map<string, Report[]>()
    let events = 0
    let results: bigint[]
    {
      await using _ = await kernel.load(policies)
      results = await made.go(world.lines.length)
      kernel.read(made.pid, (event, selector) => {
        const { policy, message, functionName } = event.hook
        const key = `${policy} ${message} ${functionName.replace(/^__(x64|arm64)_/, '')}`
        const reports = got.get(key) ?? []
        got.set(key, reports)
        reports.push(reported(event, selector))
        events++
      })
    }
    const calls = world.calls(results)
    const caller = {
      program,
      parent: realpathSync(process.execPath),
      pid: made.pid,
      innerPid: 0,
      before: undefined,
      outside: ['Mnt'],
    }
    return {
      policies: policies.length,
      calls: calls.length,
      events,
      differences: differencesOf(policies, calls, got, caller),
    }
  } finally {
    rmSync(top, { recursive: true, force: true })
  }
}

function differencesOf(
  policies: readonly PolicyDocument[],
  calls: readonly Call[],
  got: Map<string, Report[]>,
  caller: ProcessFacts,
): string[] {
  const differences: string[] = []
  for (const policy of policies) {
    for (const hook of policy.hooks) {
      const key = `${policy.name} ${hook.message} ${hook.call}`
      const want = calls.map((call) => predicted(hook, call, caller)).filter((report) => report !== undefined)
      const have = got.get(key) ?? []
      got.delete(key)
      const found = firstDifference(want, have)
      if (found === undefined) continue
      const counts = `${want.length} predicted, ${have.length} reported; the first difference is number ${found.at}`
      const values = [`predicted: ${shown(found.want)}`, `reported:  ${shown(found.have)}`]
      differences.push([`${key}: ${counts}`, ...values, `policy: ${policyText(policy)}`].join('\n  '))
    }
  }
  for (const [key, { length }] of got) differences.push(`${key}: ${length} events of a hook that is in no policy`)
  return differences
}

const shown = (report: Report | undefined): string => (report === undefined ? 'nothing' : JSON.stringify(report))

/** In order; an optional prediction may have no event. */
function firstDifference(
  want: readonly Prediction[],
  have: readonly Report[],
): { readonly at: number; readonly want: Prediction | undefined; readonly have: Report | undefined } | undefined {
  let at = 0
  for (const prediction of want) {
    const report = have[at]
    if (report !== undefined && accepts(prediction, report)) at++
    else if (!prediction.optional) return { at, want: prediction, have: report }
  }
  return at < have.length ? { at, want: undefined, have: have[at] } : undefined
}
