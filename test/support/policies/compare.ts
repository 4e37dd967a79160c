/** One random set of policies on a real kernel: what it reports, compared with what the evaluator predicts. */
import { mkdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Seeded } from '../../simulation/spool/random.ts'
import { Calls, callsBinary } from './calls.ts'
import type { HookDocument, PolicyDocument } from './documents.ts'
import { HookModel, accepts } from './evaluator.ts'
import type { Call, Prediction, Report } from './evaluator.ts'
import type { FileLookup } from './identity.ts'
import { reported } from './loading.ts'
import type { LoadedKernel } from './loading.ts'
import { Policies } from './random/policies.ts'
import type { Made } from './random/tasks.ts'
import { World } from './random/world.ts'

export interface Outcome {
  readonly policies: number
  readonly calls: number
  readonly events: number
  /** One text for each hook that reported something else. */
  readonly differences: readonly string[]
}

/** Most of a set; some sets have 40 policies, few 200. */
const FEW = 12
const HOOK_CHARACTERS = 4_000

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
  const umask = process.umask()
  const world = new World(random, { top, fsTop: onFileSystem(top), umask })
  const program = callsBinary()
  const parent = { program: realpathSync(process.execPath), comm: ownName(), pids: [process.pid, process.ppid] }
  try {
    using made = await Calls.start(world.setup, [world.lines])
    const known = { programs: [program, parent.program], pids: [made.pid, ...parent.pids] }
    const policies = new Policies(random, world, known, kernel.tellsFiles).set(sizeOf(random, most))
    const got = new Map<string, Report[]>()
    let events = 0
    let results: bigint[]
    let pids: number[]
    {
      await using _ = await kernel.load(policies)
      results = await made.go(world.lines.length)
      pids = world.pids(made.pid, results)
      kernel.read(pids, (event, selector) => {
        const { policy, message, functionName } = event.hook
        const key = `${policy} ${message} ${functionName.replace(/^__(x64|arm64)_/, '')}`
        const reports = got.get(key) ?? []
        got.set(key, reports)
        reports.push(reported(event, selector))
        events++
      })
    }
    const comm = basename(program).slice(0, COMM_BYTES)
    const calls = world.calls(results, { program, comm, parent, pids, hostName: hostname(), umask } satisfies Made)
    return {
      policies: policies.length,
      calls: calls.length,
      events,
      differences: differencesOf(policies, calls, got, world.lookup, world.signals(results, pids)),
    }
  } finally {
    rmSync(top, { recursive: true, force: true })
  }
}

/** include/linux/sched.h TASK_COMM_LEN, without the NUL */
const COMM_BYTES = 15

/** Of the thread that forks. */
const ownName = (): string => readFileSync(`/proc/self/task/${process.pid}/comm`, 'latin1').trimEnd()

/** A path as seen from the root of its file system. */
function onFileSystem(path: string): string {
  let found = { root: '/', at: '' }
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n')) {
    const [, , , root = '/', at = '/'] = line.split(' ')
    const isAbove = at === '/' || `${path}/`.startsWith(`${at}/`)
    // The last one of a folder is what is seen.
    if (isAbove && at.length >= found.at.length) found = { root, at }
  }
  return (found.root === '/' ? '' : found.root) + path.slice(found.at === '/' ? 0 : found.at.length)
}

function differencesOf(
  policies: readonly PolicyDocument[],
  calls: readonly Call[],
  got: Map<string, Report[]>,
  files: FileLookup,
  signals: ReadonlyMap<number, number>,
): string[] {
  const differences: string[] = []
  const wanted = new Map<number, number>()
  for (const policy of policies) {
    for (const hook of policy.hooks) {
      const key = `${policy.name} ${hook.message} ${hook.call}`
      const model = new HookModel(hook, { monitor: policy.monitor === true, files })
      const want = calls.map((call) => model.event(call)).filter((report) => report !== undefined)
      for (const [pid, count] of model.signals) wanted.set(pid, (wanted.get(pid) ?? 0) + count)
      const have = got.get(key) ?? []
      got.delete(key)
      const found = firstDifference(want, have)
      if (found === undefined) continue
      const counts = `${want.length} predicted, ${have.length} reported; the first difference is number ${found.at}`
      const values = [`predicted: ${shown(found.want)}`, `reported:  ${shown(found.have)}`]
      differences.push([`${key}: ${counts}`, ...values, `hook: ${shownHook(hook)}`].join('\n  '))
    }
  }
  for (const [key, { length }] of got) differences.push(`${key}: ${length} events of a hook that is in no policy`)
  for (const [pid, count] of signals) {
    const want = wanted.get(pid) ?? 0
    if (count !== want) differences.push(`process ${pid} has got ${count} signals instead of ${want}`)
  }
  return differences
}

/** Long lists of values would hide the rest. */
function shownHook(hook: HookDocument): string {
  const text = JSON.stringify(hook)
  return text.length > HOOK_CHARACTERS ? `${text.slice(0, HOOK_CHARACTERS)}…` : text
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
