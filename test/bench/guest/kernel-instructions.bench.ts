/**
 * How many instructions does a pread execute, how many more with a hook, and how many does a short process? The guest's clock counts
 * instructions (run.sh --counted), so neither the machine nor its load changes a figure. A figure is the median of some batches of calls.
 */
import { basename } from 'node:path'
import { preempts } from '../../../collector/plan/facts.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import type { AttachMode } from '../../../collector/plan/plan.ts'
import { NativeError, kernelFunctions, kernelSymbols, openObject, realTime } from '../../../native/index.ts'
import { openKernel } from '../support/kernel.ts'
import { Reader, SYMBOL, compileEmpty, policyOf } from '../support/pread.ts'
import { keepStatistics } from '../../support/measure/statistics.ts'
import { COUNTED, leaveOut, printResult, show } from '../support/result.ts'
import type { Measure } from '../support/result.ts'
import { LATE, kindsFor, policyOf as kindPolicyOf } from '../support/selector-kinds.ts'

if (!COUNTED) leaveOut('run it by make bench ONLY=instructions, which counts')

const HIT = '/etc/ktrail-bench'
const MISS = '/tmp/x'
const TEN = Array.from({ length: 10 }, (_, n) => `/run/of-${n}/`)
/** Where files are, for a policy on these folders, or for one on each of `apart`. The last number: what a policy may add to a bare pread there, as a part of it. */
const NEIGHBOURS = [
  {
    folders: ['/run/watched/'],
    files: [
      ['in the folder', '/run/watched/f', 1.3],
      ['in the folder beside it', '/run/other/f', 0.5],
      ['in the folder above it', '/run/f', 0.5],
      ['elsewhere', MISS, 0.42],
    ],
  },
  { folders: ['/run/a/b/c/d/'], files: [['in the folder beside a deep one', '/run/a/b/c/e/f', 0.49]] },
  { folders: ['/run/watched/', '/run/seen/'], files: [['in the folder beside two', '/run/other/f', 0.49]] },
  {
    apart: TEN,
    files: [
      ['in one of ten folders', `${TEN[7]}f`, 1.6],
      ['in the folder beside ten', '/run/other/f', 0.5],
      ['in the folder above ten', '/run/f', 0.5],
    ],
  },
] as const
const FILES = [...new Set([HIT, ...NEIGHBOURS.flatMap(({ files }) => files.map(([, path]) => path)), 'exec'])]
/** An interruption disturbs one batch. */
const BATCHES = 11
const CALLS = 50
const PROCESSES = 20

const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
using reader = await Reader.start(FILES)
const count = (file: string): Promise<number> =>
  reader.measure(FILES.indexOf(file), BATCHES, file === 'exec' ? PROCESSES : CALLS)

const bare = new Map<string, number>()
for (const file of FILES) bare.set(file, await count(file))
const bareOf = (file: string): number => bare.get(file) ?? Number.NaN
const added = async (file: string): Promise<number> => (await count(file)) - bareOf(file)

interface Cost {
  readonly name: string
  readonly match: number
  readonly miss: number
}

const hooks: Cost[] = []
const cost = async (name: string): Promise<Cost> => ({ name, match: await added(HIT), miss: await added(MISS) })

/** No row if this kernel cannot attach the program. */
async function measureEmpty(compiled: string, name: string, kind: 'fexit' | 'kprobe.multi'): Promise<void> {
  const [target, symbols] = kind === 'fexit' ? [{ target: SYMBOL }, []] : [{}, [SYMBOL]]
  try {
    using object = new DisposableStack()
    const opened = object.adopt(await openObject(compiled, { programs: [{ name, kind, ...target }] }), (it) =>
      it.close(),
    )
    object.adopt(await opened.attach(name, symbols), (it) => it.close())
    hooks.push(await cost(`empty program, ${kind}`))
  } catch (error) {
    if (!(error instanceof NativeError && error.code === 'UNSUPPORTED')) throw error
  }
}

const compiled = compileEmpty()
await measureEmpty(compiled, 'empty_fexit', 'fexit')
await measureEmpty(compiled, 'empty_entry', 'kprobe.multi')

let mode: AttachMode | 'auto' = 'auto'
using kernel = await openKernel(facts, () => mode, reader.pid)

/** No row if this kernel cannot attach the hook in this mode. */
async function measureHook(returns: boolean): Promise<void> {
  const loaded = await kernel.policies.change([], [policyOf(returns)])
  const bound = loaded[0]?.hooks[0]?.mode
  if (bound === undefined) throw new Error('nothing was loaded')
  const which = mode === 'auto' && returns ? ' (default here)' : ''
  if (mode === 'auto' || mode === bound)
    hooks.push(await cost(`${bound}${which}, ${returns ? 'with' : 'no'} return value`))
  await kernel.policies.change(loaded, [])
}

/** Instructions of programs in a fork, exec and exit, by the kernel's statistics. The whole differs by more than they take from run to run. */
async function ofProcess(name: string): Promise<readonly [name: string, inPrograms: number]> {
  using _statistics = keepStatistics()
  const before = runNs()
  await count('exec')
  return [name, (runNs() - before) / (BATCHES * PROCESSES)]
}

function runNs(): number {
  const { programs, functions } = kernel.counts()
  return [...programs.values(), ...functions.values()].reduce((sum, runs) => sum + runs.runNs, 0)
}

const processes = [await ofProcess('the process table')]
const modes = ['auto', ...(preempts(facts) ? (['fexit'] as const) : []), 'kprobe.session', 'fentry', 'join'] as const
for (mode of modes) await measureHook(true)
mode = 'auto'
await measureHook(false)

const neighbours: Array<readonly [name: string, added: number, part: number, most: number]> = []
for (const { files, ...of } of NEIGHBOURS) {
  const policies =
    'apart' in of ? of.apart.map((folder) => policyOf(true, [folder], basename(folder))) : [policyOf(true, of.folders)]
  const loaded = await kernel.policies.change([], policies)
  for (const [name, path, most] of files) {
    const more = await added(path)
    neighbours.push([name, more, more / bareOf(path), most])
  }
  if (processes.length === 1) processes.push(await ofProcess('the process table and a policy'))
  await kernel.policies.change(loaded, [])
}
const rejects: Array<readonly [name: string, added: number]> = []
for (const kind of kindsFor(reader)) {
  if (!LATE.has(kind.name) || kind.rejects === undefined) continue
  const loaded = await kernel.policies.change([], [kindPolicyOf(kind, kind.rejects)])
  rejects.push([`${kind.name}: no match`, await added(MISS)])
  await kernel.policies.change(loaded, [])
}
const { ring_full_hook: refused } = kernel.counts().counters
if (refused > 0)
  throw new Error(`the ring refused ${refused} records: expected none, they would make a match look cheap`)
if (kernel.ring.read(Buffer.alloc(1 << 20)) === 0)
  throw new Error('expected records of processes in the ring, got none')

const ADDED = 'instructions added to a pread'
const measures: Measure[] = [
  { name: 'a pread', value: bareOf(MISS), unit: 'instructions' },
  ...hooks.flatMap(({ name, match, miss }): Measure[] => [
    { name: `${name}: match`, value: match, unit: ADDED },
    { name: `${name}: no match`, value: miss, unit: ADDED },
  ]),
  ...[...neighbours, ...rejects].map(([name, value]): Measure => ({ name, value, unit: ADDED })),
  ...neighbours.map(([name, , part, most]): Measure => ({
    name: `${name} ÷ a bare pread`,
    value: part,
    unit: '×',
    atMost: most,
  })),
  { name: 'fork + exec + exit', value: bareOf('exec'), unit: 'instructions' },
  ...processes.map(([name, value]): Measure => ({
    name: `fork + exec + exit, ${name}`,
    value,
    unit: 'instructions in programs',
  })),
]
printResult('kernel-instructions', measures, [
  {
    title: `Kernel, instructions added to a one-byte pread (${show(bareOf(HIT))} and ${show(bareOf(MISS))} without a hook)`,
    columns: ['', 'match', 'no match'],
    rows: hooks.map(({ name, match, miss }) => [name.replace(', with return value', ''), show(match), show(miss)]),
    notes: [`${SYMBOL} has the hook; the files are 2 deep. The emulator counts, so machines can be compared.`],
  },
  {
    title: 'Kernel, instructions added to a one-byte pread by a policy on /run/watched/, by where the file is',
    columns: ['', 'added', 'of a pread without a hook'],
    rows: neighbours.map(([name, more, part]) => [name, show(more), part.toFixed(2)]),
    notes: [
      `${SYMBOL} has the hook, with its return value; /run is a tmpfs. The deep folder is /run/a/b/c/d/. Ten folders: a policy on each.`,
    ],
  },
  {
    title: `Kernel, instructions of programs in fork, exec and exit of a small program (${show(bareOf('exec'))} without)`,
    columns: ['', 'in programs', 'of these without'],
    rows: processes.map(([name, ours]) => [name, show(ours), (ours / bareOf('exec')).toFixed(3)]),
    notes: ['By the kernel’s statistics. The process table follows each process, also if no policy is loaded.'],
  },
])
