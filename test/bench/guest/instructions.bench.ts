/**
 * How many instructions does the kernel execute for a pread, and how many more with a hook? The emulator counts them (count.c), so a busy machine
 * changes nothing: two runs differ by less than 1 %. build/bench/counts has each round, instruction by instruction.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readKernelFacts } from '../../../collector/kernel/facts.ts'
import type { AttachMode } from '../../../collector/kernel/plan.ts'
import { kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import { openKernel } from '../support/kernel.ts'
import { Reader, SYMBOL, policyOf } from '../support/pread.ts'
import { QUICK, leaveOut, printResult, show } from '../support/result.ts'
import type { Measure } from '../support/result.ts'

/** Where count.c writes. */
const COUNTS = process.env['KTRAIL_BENCH_COUNTS'] ?? leaveOut('run it by make bench ONLY=instructions, which counts')
const PATHS = ['/etc/ktrail-bench', '/tmp/x'] as const
/** Where a file is that policies on a folder do not match. */
const NEIGHBOURS = [
  { name: 'in the folder', path: '/run/watched/f', folders: ['/run/watched/'] },
  { name: 'in the folder beside it', path: '/run/other/f', folders: ['/run/watched/'] },
  { name: 'in the folder above it', path: '/run/f', folders: ['/run/watched/'] },
  { name: 'elsewhere', path: '/tmp/x', folders: ['/run/watched/'] },
  { name: 'in the folder beside a deep one', path: '/run/a/b/c/e/f', folders: ['/run/a/b/c/d/'] },
  { name: 'in the folder beside two', path: '/run/other/f', folders: ['/run/watched/', '/run/seen/'] },
] as const
/** Where the kernel has its modules, as /proc/kallsyms writes it. */
const MODULES = 'ffffffffc0000000'
const ROUNDS = QUICK ? 1 : 3
const BATCHES = 10
const CALLS = 200

/** Instructions per pread: all instructions of the kernel, and the part in BPF programs. */
interface Count {
  readonly all: number
  readonly programs: number
}

const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
const files = [...PATHS, ...NEIGHBOURS.map(({ path }) => path)]
using reader = await Reader.start(files)
let written = 0

/** The least of some rounds, after one that warms up: interruptions only add to a round. */
async function count(file: number): Promise<Count> {
  let least: Count = { all: Infinity, programs: Infinity }
  for (let i = 0; i <= ROUNDS; i++) {
    await reader.measure(file, BATCHES, CALLS)
    const counts = readFileSync(join(COUNTS, String(written++)), 'utf8')
    if (i === 0) continue
    const found = perCall(counts)
    if (found.all < least.all) least = found
  }
  return least
}

function perCall(counts: string): Count {
  const isProgram = programs()
  let all = 0
  let ours = 0
  for (const line of counts.trimEnd().split('\n')) {
    const [address = '', times = ''] = line.split(' ', 2)
    all += Number(times)
    if (isProgram(address)) ours += Number(times)
  }
  return { all: all / (BATCHES * CALLS), programs: ours / (BATCHES * CALLS) }
}

/** Whether an address, as 16 digits, is in a BPF program. These stand among the kernel's modules; a symbol extends to the next one. */
function programs(): (address: string) => boolean {
  const symbols = readFileSync('/proc/kallsyms', 'utf8')
    .split('\n')
    .filter((line) => line >= MODULES)
    .toSorted()
  return (address) =>
    address >= MODULES && (symbols.findLast((line) => line <= `${address}~`) ?? '').includes(' bpf_prog_')
}

/** Instructions that a hook adds; undefined if this kernel cannot attach it in this mode. */
async function added(
  mode: AttachMode | 'auto',
  returns: boolean,
): Promise<[name: string, counts: Count[]] | undefined> {
  using kernel = await openKernel(facts, mode, reader.pid)
  const [loaded] = await kernel.policies.change([], [policyOf(returns)])
  if (loaded === undefined) throw new Error('nothing was loaded')
  const bound = loaded.hooks[0]?.mode
  if (bound === undefined || (mode !== 'auto' && bound !== mode)) return undefined
  const counts: Count[] = []
  for (const i of PATHS.keys()) {
    const { all, programs: ours } = await count(i)
    counts.push({ all: all - (bare[i]?.all ?? 0), programs: ours })
  }
  await kernel.policies.change([loaded], [])
  return [
    `${bound}${mode === 'auto' && returns ? ' (default here)' : ''}, ${returns ? 'with' : 'no'} return value`,
    counts,
  ]
}

/** Instructions that a policy on a folder adds, with return values, in the usual way; and of a pread without it. */
async function beside(): Promise<Array<readonly [name: string, added: number, bare: number]>> {
  using kernel = await openKernel(facts, 'auto', reader.pid)
  const rows: Array<readonly [string, number, number]> = []
  for (const [i, { name, folders }] of NEIGHBOURS.entries()) {
    const file = PATHS.length + i
    const without = await count(file)
    const loaded = await kernel.policies.change([], [policyOf(true, folders)])
    const { all } = await count(file)
    await kernel.policies.change(loaded, [])
    rows.push([name, all - without.all, without.all])
  }
  return rows
}

const bare: Count[] = []
for (const file of PATHS.keys()) bare.push(await count(file))
const found = [
  await added('auto', true),
  await added('kprobe.session', true),
  await added('fentry', true),
  await added('join', true),
  await added('auto', false),
].filter((each) => each !== undefined)
const measures = found.flatMap(([name, counts]) =>
  counts.map(({ all }, i): Measure => ({
    name: `${name}: ${i === 0 ? 'match' : 'no match'}`,
    value: all,
    unit: 'instructions added to a pread',
  })),
)
const neighbours = await beside()
measures.push(...neighbours.map(([name, value]): Measure => ({ name, value, unit: 'instructions added to a pread' })))
printResult('instructions', measures, [
  {
    title: `Kernel, instructions added to a one-byte pread (${bare.map(({ all }) => show(all)).join(' and ')} without a hook)`,
    columns: ['', 'match', 'of these in BPF programs', 'no match', 'of these in BPF programs'],
    rows: found.map(([name, counts]) => [
      name.replace(', with return value', ''),
      ...counts.flatMap(({ all, programs: ours }) => [show(all), show(ours)]),
    ]),
    notes: [`${SYMBOL} has the hook; the files are 2 deep. Counted by the emulator, so machines can be compared.`],
  },
  {
    title: 'Kernel, instructions added to a one-byte pread by a policy on /run/watched/, by where the file is',
    columns: ['', 'added', 'of a pread without a hook'],
    rows: neighbours.map(([name, added, without]) => [name, show(added), (added / without).toFixed(2)]),
    notes: [`${SYMBOL} has the hook, with its return value; /run is a tmpfs. The deep folder is /run/a/b/c/d/.`],
  },
])
