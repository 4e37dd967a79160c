/** Random sets of policies on a real kernel: their reports, compared with the predictions of the evaluator. */
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

/** Limit of most sets; some sets have 40 policies, few 200. */
const FEW = 10
const HOOK_CHARACTERS = 40_000
/** Limits of all sets that are loaded together; the agent has room for 448 and 64. */
const CONDITIONS_MAX = 400
const IDENTITY_LISTS_MAX = 60

function sizeOf(random: Seeded, most: number): number {
  const size = random.chance(0.02) ? 40 : random.chance(0.001) ? 200 : 1 + Math.floor(random.next() ** 2 * FEW)
  return Math.min(size, most)
}

/** A set with the process that makes its calls. */
interface Life {
  readonly set: number
  readonly world: World
  readonly process: Calls
  readonly policies: readonly PolicyDocument[]
  /** Reports of its own policies, by hook. */
  readonly got: Map<string, Report[]>
  events: number
  results: readonly bigint[]
  pids: readonly number[]
  calls: readonly Call[]
}

/**
 * Loads the policies of some sets together, and makes the calls of each. Equal seeds and numbers give equal sets on every machine. `most`: maximum of
 * policies in a set.
 */
export async function compareSets(
  kernel: LoadedKernel,
  seed: number,
  sets: readonly number[],
  most: number = Infinity,
): Promise<Outcome> {
  const top = join(process.env['KTRAIL_TMP'] ?? tmpdir(), 'ktrail-random')
  mkdirSync(top)
  try {
    using processes = new DisposableStack()
    const ground = { fsTop: onFileSystem(top), umask: process.umask() }
    const parent = { program: realpathSync(process.execPath), comm: ownName(), pids: lineage(process.pid) }
    const program = callsBinary()
    const room = { conditions: CONDITIONS_MAX / sets.length, identityLists: IDENTITY_LISTS_MAX / sets.length }
    const lives: Life[] = []
    for (const set of sets) {
      const random = new Seeded(seed * 1_000_003 + set)
      mkdirSync(join(top, String(set)))
      const own = { top: join(top, String(set)), fsTop: `${ground.fsTop}/${set}`, umask: ground.umask }
      const world = new World(random, own)
      const made = processes.use(await Calls.start(world.setup, [world.lines]))
      const known = { programs: [program, parent.program], pids: [made.pid, ...parent.pids] }
      const source = new Policies(random, world, known, kernel.tellsFiles ? room : { ...room, identityLists: 0 })
      const policies = source.set(`s${set}-`, sizeOf(random, most))
      lives.push({ set, world, process: made, policies, got: new Map(), events: 0, results: [], pids: [], calls: [] })
    }
    {
      await using _ = await kernel.load(lives.flatMap(({ policies }) => policies))
      for (const life of lives) await run(life, kernel)
    }
    const comm = basename(program).slice(0, COMM_BYTES)
    const common = { program, comm, parent, hostName: hostname(), umask: ground.umask }
    for (const life of lives) {
      life.calls = life.world.calls(life.results, { ...common, pids: life.pids } satisfies Made)
    }
    const sum = (of: (life: Life) => number): number => lives.reduce((all, life) => all + of(life), 0)
    return {
      policies: sum(({ policies }) => policies.length),
      calls: sum(({ calls }) => calls.length),
      events: sum(({ events }) => events),
      differences: differencesOf(lives, kernel.signalsAtReturns),
    }
  } finally {
    rmSync(top, { recursive: true, force: true })
  }
}

/** Makes the calls, and takes the events of the set's own policies. */
async function run(life: Life, kernel: LoadedKernel): Promise<void> {
  const names = new Set(life.policies.map(({ name }) => name))
  life.results = await life.process.go(life.world.lines.length)
  life.pids = life.world.pids(life.process.pid, life.results)
  kernel.read(life.pids, (event, selector) => {
    const { policy, message, functionName } = event.hook
    if (!names.has(policy)) return
    const key = `${policy} ${message} ${functionName.replace(/^__(x64|arm64)_/, '')}`
    const reports = life.got.get(key) ?? []
    life.got.set(key, reports)
    reports.push(reported(event, selector))
    life.events++
  })
}

/** include/linux/sched.h TASK_COMM_LEN, without the NUL */
const COMM_BYTES = 15

/** A process and its ancestors, up to the first of all. */
function lineage(pid: number): number[] {
  if (pid === 0) return []
  const [, parent = '0'] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return [pid, ...lineage(Number(parent))]
}

/** Name of the thread that forks. */
const ownName = (): string => readFileSync(`/proc/self/task/${process.pid}/comm`, 'latin1').trimEnd()

/** A path as seen from the root of its file system. */
function onFileSystem(path: string): string {
  let found = { root: '/', at: '' }
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n')) {
    const [, , , root = '/', at = '/'] = line.split(' ')
    const isAbove = at === '/' || `${path}/`.startsWith(`${at}/`)
    // The last mount on a folder hides the ones before.
    if (isAbove && at.length >= found.at.length) found = { root, at }
  }
  return (found.root === '/' ? '' : found.root) + path.slice(found.at === '/' ? 0 : found.at.length)
}

function add<Key>(to: Map<Key, number>, more: Iterable<readonly [Key, number]>): void {
  for (const [key, count] of more) to.set(key, (to.get(key) ?? 0) + count)
}

/** Whether a hook acts on processes of other sets, or calls of other sets change its actions. */
const actsOnOthers = ({ selectors = [] }: HookDocument): boolean =>
  selectors.some(({ matchActions = [] }) =>
    matchActions.some(({ action, rateLimitScope }) => action === 'Signal' || rateLimitScope === 'global'),
  )

/** The predicted events of a hook, each with its call. */
interface Wanted {
  readonly life: Life
  readonly key: string
  readonly hook: HookDocument
  readonly events: ReadonlyArray<readonly [Call, Prediction]>
}

/** `signalsAtReturns`: as of LoadedKernel. */
function differencesOf(lives: readonly Life[], signalsAtReturns: boolean): string[] {
  const differences: string[] = []
  const files: FileLookup = (path) => lives.map(({ world }) => world.lookup(path)).find((found) => found !== undefined)
  /** Signals by call: those that are certain, and those that may have been sent too. */
  const signals = new Map<Call, number>()
  const doubtful = new Map<Call, number>()
  const hooks: Wanted[] = []
  for (const life of lives) {
    const { set, calls } = life
    for (const policy of life.policies) {
      for (const hook of policy.hooks) {
        const model = new HookModel(hook, { monitor: policy.monitor === true, files })
        const events: Array<readonly [Call, Prediction]> = []
        for (const other of actsOnOthers(hook) ? lives : [{ set, calls }]) {
          for (const call of other.calls) {
            const prediction = model.event(call)
            if (prediction !== undefined && other.set === set) events.push([call, prediction])
          }
        }
        add(signals, model.signals)
        add(doubtful, model.doubtful)
        hooks.push({ life, key: `${policy.name} ${hook.message} ${hook.call}`, hook, events })
      }
    }
  }
  // A text that the kernel cannot read at the entry decides whether a call is judged at its return: each call may be.
  const mayRefuse = (call: Call): boolean =>
    !signalsAtReturns && (signals.get(call) ?? 0) + (doubtful.get(call) ?? 0) > 1
  for (const { life, key, hook, events } of hooks) {
    const want = events.map(([call, event]) => (mayRefuse(call) ? { ...event, uncertain: true } : event))
    const have = life.got.get(key) ?? []
    life.got.delete(key)
    const found = firstDifference(want, have)
    if (found === undefined) continue
    const counts = `${want.length} predicted, ${have.length} reported; the first difference is number ${found.at}`
    const values = [`predicted: ${shown(found.want)}`, `reported:  ${shown(found.have)}`]
    differences.push([`${key}: ${counts}`, ...values, `hook: ${shownHook(hook)}`].join('\n  '))
  }
  /** Signals by pid. */
  const least = new Map<number, number>()
  const most = new Map<number, number>()
  for (const call of new Set([...signals.keys(), ...doubtful.keys()])) {
    const sure = signals.get(call) ?? 0
    const pid = call.caller?.pid ?? 0
    add(least, [[pid, mayRefuse(call) ? Math.min(sure, 1) : sure]])
    add(most, [[pid, sure + (doubtful.get(call) ?? 0)]])
  }
  for (const { set, world, results, pids, got } of lives) {
    for (const [key, { length }] of got) differences.push(`${key}: ${length} events of a hook that is in no policy`)
    for (const [pid, count] of world.signals(results, pids)) {
      const [from, to] = [least.get(pid) ?? 0, most.get(pid) ?? 0]
      if (count >= from && count <= to) continue
      differences.push(`set ${set}: process ${pid} has got ${count} signals instead of ${from} to ${to}`)
    }
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
