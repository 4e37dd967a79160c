/**
 * Cost of each kind of selector to the watched program. One selector on security_file_permission has values that reject the program's calls, then
 * values that let them through; between them run no selector and a program that does nothing. ns per run by the kernel's own statistics
 * (which add some 85 ns): the least of some windows. Also the cost of the selectors on programs to a fork and an
 * exec. Runs in a guest with one CPU.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Pods } from '../../../collector/identity/pods.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import type { LoadedPolicy } from '../../../collector/plan/plan.ts'
import { closed, kernelFunctions, kernelSymbols, openObject, realTime } from '../../../native/index.ts'
import { keepStatistics } from '../../support/measure/statistics.ts'
import { nsPerCall, verified, verifiedSince } from '../support/kernel.ts'
import { Reader, compileEmpty } from '../support/pread.ts'
import { QUICK, printResult, show } from '../support/result.ts'
import type { Measure } from '../support/result.ts'
import { FILE, FILES, LATE, SOCKET, WATCHED, kindsFor, policyOf } from '../support/selector-kinds.ts'
import type { Kind } from '../support/selector-kinds.ts'

/** Short ones: other load on the machine then spares some. */
const WINDOWS = QUICK ? 8 : 32
const BATCHES = 2
const CALLS = 500
const FORK_WINDOWS = QUICK ? 2 : 6
const FORKS = 40
/** Kinds between two measurements of no selector. */
const KINDS_AT_ONCE = 10

const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
const workloads = new Workloads(new Pods())
using kernel = await KernelSide.open({
  facts,
  mode: 'auto',
  ringBytes: 16 << 20,
  watermarkBytes: 1 << 20,
  agentPid: process.pid,
  workloads,
})
await workloads.scan('/proc')
// The program's parent. Its own fork and exec are seen.
kernel.seedProcess(process.pid, 1n, process.ppid)
using reader = await Reader.start(FILES)
const kinds = kindsFor(reader)
const into = Buffer.alloc(1 << 20)

interface Cost {
  readonly ns: number
  readonly instructions: number
}

let present: LoadedPolicy[] = []
const drain = (): void => {
  while (kernel.ring.read(into) > 0);
}

/** Loads the policy in place of the one before. */
async function costOf(kind: Kind, verdict: 'rejects' | 'passes'): Promise<Cost | undefined> {
  const selector = kind[verdict]
  if (selector === undefined) return undefined
  const before = verified()
  present = await kernel.policies.change(present, [policyOf(kind, selector)])
  const instructions = verifiedSince(before)
  const { links } = kernel.policies
  const file = FILES.indexOf(kind.call === SOCKET ? 'udp' : WATCHED)
  const calls = BATCHES * CALLS
  const work = (): Promise<unknown> => reader.measure(file, BATCHES, CALLS)
  // Warm-up, for results that are computed once and changes that are reported once.
  await reader.measure(file, 1, 10)
  let ns = Infinity
  for (let i = 0; i < WINDOWS; i++) {
    const taken = kernel.counts().taken
    ns = Math.min(ns, await nsPerCall(links, calls, work))
    const records = kernel.counts().taken - taken
    if (verdict === 'passes' || kind.later ? records < calls : records > calls / 10) {
      throw new Error(`${kind.name}, ${verdict}: got ${records} records of ${calls} calls`)
    }
    drain()
  }
  return { ns, instructions }
}

const emptyObject = compileEmpty()
async function empty(): Promise<Cost> {
  const object = await openObject(emptyObject, { programs: [{ name: 'empty_fexit', kind: 'fexit', target: FILE }] })
  const link = await object.attach('empty_fexit', [])
  let ns = Infinity
  for (let i = 0; i < WINDOWS; i++) {
    ns = Math.min(ns, await nsPerCall([link], BATCHES * CALLS, () => reader.measure(0, BATCHES, CALLS)))
  }
  link.close()
  object.close()
  await closed()
  return { ns, instructions: 2 }
}

const least = (a: Cost | undefined, b: Cost | undefined): Cost | undefined =>
  a === undefined || (b !== undefined && b.ns < a.ns) ? b : a

/** ns per run of the process programs while processes are forked that run a program and exit: the least of the windows. */
const PROCESS_PROGRAMS = ['process_fork', 'process_exec', 'process_exit'] as const
const ASKED = ['matchArgs, path: Prefix', 'matchBinaries: In', 'matchBinaries: followChildren'] as const
const ofProcesses = new Map(ASKED.map((name) => [name, PROCESS_PROGRAMS.map(() => Infinity)]))
async function measureProcesses(name: (typeof ASKED)[number]): Promise<void> {
  const kind = kinds.find((each) => each.name === name)
  const lowest = ofProcesses.get(name)
  if (kind?.rejects === undefined || lowest === undefined) throw new Error(`no kind ${name}`)
  present = await kernel.policies.change(present, [policyOf(kind, kind.rejects)])
  using _stats = keepStatistics()
  for (let i = 0; i < FORK_WINDOWS; i++) {
    const before = kernel.counts().programs
    await promisify(execFile)('/bin/sh', ['-c', `i=0; while [ $i -lt ${FORKS} ]; do /bin/true; i=$((i+1)); done`])
    const after = kernel.counts().programs
    drain()
    for (const [at, program] of PROCESS_PROGRAMS.entries()) {
      const [from, to] = [before.get(program), after.get(program)]
      if (from === undefined || to === undefined) throw new Error(`no program ${program}`)
      lowest[at] = Math.min(lowest[at] ?? Infinity, (to.runNs - from.runNs) / (to.runs - from.runs))
    }
  }
}

interface Measured {
  readonly kind: Kind
  rejects: Cost | undefined
  passes: Cost | undefined
}
const costs = kinds.map((kind): Measured => ({ kind, rejects: undefined, passes: undefined }))
async function measure(measured: Measured): Promise<void> {
  measured.rejects = least(measured.rejects, await costOf(measured.kind, 'rejects'))
  measured.passes = least(measured.passes, await costOf(measured.kind, 'passes'))
}

const [floor, ...others] = costs
if (floor === undefined) throw new Error('no kinds')
let nothing: Cost | undefined
for (const [i, each] of others.entries()) {
  if (i % KINDS_AT_ONCE === 0) {
    nothing = least(nothing, await empty())
    await measure(floor)
  }
  await measure(each)
}
for (const name of ASKED) await measureProcesses(name)
await kernel.policies.change(present, [])
const { ring_full_hook: refused } = kernel.counts().counters
if (refused > 0)
  throw new Error(`the ring refused ${refused} records: expected none, they would make a call look cheap`)

const floors = new Map(
  [FILE, SOCKET].map((call) => [call, costs.find(({ kind }) => (kind.call ?? FILE) === call)?.passes?.ns ?? NaN]),
)
const emptyNs = nothing?.ns ?? NaN
/** Target of a call that a kind of LATE rejects. */
const LATE_NS = 700
const floorOf = ({ call }: Kind): number => floors.get(call ?? FILE) ?? NaN
const shown = (value: number | undefined): string => (value === undefined ? '' : show(value))
const above = (cost: Cost | undefined, floor: number): string => (cost === undefined ? '' : show(cost.ns - floor))
const measures: Measure[] = costs.flatMap(({ kind, rejects, passes }) => [
  ...(rejects === undefined
    ? []
    : [
        {
          name: `${kind.name}: rejects`,
          value: rejects.ns,
          unit: 'ns per call, kernel statistics',
          ...(LATE.has(kind.name) && { atMost: LATE_NS }),
        },
      ]),
  ...(passes === undefined
    ? []
    : [{ name: `${kind.name}: lets through`, value: passes.ns, unit: 'ns per call, kernel statistics' }]),
  { name: `${kind.name}: verifier`, value: (passes ?? rejects)?.instructions ?? NaN, unit: 'instructions' },
])

printResult('selectors', measures, [
  {
    title: `One selector of each kind: ns per call of ${FILE}, all programs of the hook`,
    columns: ['', 'rejects', 'above an empty program', 'lets through', 'above no selector', 'instructions verified'],
    rows: [
      ['empty program, fexit', '', '', show(emptyNs), '', '2'],
      ...costs.map(({ kind, rejects, passes }) => [
        kind.name,
        shown(rejects?.ns),
        above(rejects, emptyNs),
        shown(passes?.ns),
        above(passes, floorOf(kind)),
        shown((passes ?? rejects)?.instructions),
      ]),
    ],
    notes: [
      'By the kernel’s statistics, the least of the windows. A call that is let through has a record in the ring.',
      `The path is 3 deep. Selectors on sockets are on ${SOCKET}. Changes are let through once. The agent decides on return values.`,
      'Sockets and return values are judged after the values of a record were read.',
    ],
  },
  {
    title: 'Programs of processes: ns per run, by the process conditions of policies',
    columns: ['', ...PROCESS_PROGRAMS.map((name) => name.replace('process_', ''))],
    rows: [...ofProcesses].map(([name, lowest]) => [name, ...lowest.map((ns) => show(ns))]),
    notes: [`A shell forks ${FORKS} processes that run /bin/true: the least of the windows.`],
  },
])
