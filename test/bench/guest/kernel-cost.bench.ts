/**
 * Cost of a hook to the watched program: one hook on security_file_permission, prefix /etc/, attached in each mode of this kernel.
 * One file matches and three do not; programs that do nothing are the comparison. Two measures: ns per run by the kernel's own
 * statistics (which add some 85 ns), and, with these off, ns added to a pread. Rounds alternate between no hook and hook. A batch's
 * time is the median of its calls' groups; the fastest round counts, because other load on the host only adds time. Runs in a guest
 * with one CPU.
 */
import { preempts } from '../../../collector/plan/facts.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import type { AttachMode } from '../../../collector/plan/plan.ts'
import { closed, kernelFunctions, kernelSymbols, NativeError, openObject, realTime } from '../../../native/index.ts'
import type { Link } from '../../../native/types.ts'
import { nsPerCall, openKernel, verified, verifiedSince } from '../support/kernel.ts'
import { Reader, SYMBOL, compileEmpty, policyOf } from '../support/pread.ts'
import { QUICK, median, printResult, rounds, show } from '../support/result.ts'
import type { Measure, Rounds } from '../support/result.ts'
import { TETRAGON } from '../support/tetragon.ts'

/** With 7 rounds, the least of a match differs by 8 % from run to run. The instruction benches are exact. */
const ROUNDS = QUICK ? 2 : 6
const BATCHES = 10
/** All hits of a round fit into the ring, which is not read meanwhile: the one CPU runs only the program. */
const CALLS = QUICK ? 500 : 2_000

type Case = keyof (typeof TETRAGON)['runNs']
const PATHS: Readonly<Record<Case, string>> = {
  hit: '/etc/ktrail-bench',
  shallow: '/tmp/x',
  deep6: '/tmp/d/3/4/5/x',
  deep16: '/tmp/d/3/4/5/6/7/8/9/10/11/12/13/14/15/x',
}
const CASES = Object.keys(PATHS) as Case[]
const perCase = async <T>(make: (name: Case, index: number) => Promise<T>): Promise<Record<Case, T>> => ({
  hit: await make('hit', CASES.indexOf('hit')),
  shallow: await make('shallow', CASES.indexOf('shallow')),
  deep6: await make('deep6', CASES.indexOf('deep6')),
  deep16: await make('deep16', CASES.indexOf('deep16')),
})

/** An attachable object: `links` stay attached until it is disposed. */
interface Attached extends AsyncDisposable {
  readonly links: readonly Link[]
  /** Called after each measurement. */
  drain(): void
}

interface Round {
  readonly bare: Record<Case, number>
  readonly hooked: Record<Case, number>
  /** Sum over the hook's programs, ns per pread. */
  readonly ran: Record<Case, number>
  readonly loadMs: number
  readonly instructions: number
}

interface Cost {
  readonly name: string
  readonly rounds: readonly Round[]
}

const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
using reader = await Reader.start(CASES.map((name) => PATHS[name]))
const preads = (): Promise<Record<Case, number>> => perCase((_, index) => reader.measure(index, BATCHES, CALLS))

async function round(attach: () => Promise<Attached>): Promise<Round> {
  const bare = await preads()
  const before = verified()
  const startMs = performance.now()
  await using attached = await attach()
  const loadMs = performance.now() - startMs
  const instructions = verifiedSince(before)
  // One by one, because the ring must be emptied in between.
  const hooked = await perCase(async (_, index) => {
    const ns = await reader.measure(index, BATCHES, CALLS)
    attached.drain()
    return ns
  })
  const ran = await perCase(async (_, index) => {
    const ns = await nsPerCall(attached.links, BATCHES * CALLS, () => reader.measure(index, BATCHES, CALLS))
    attached.drain()
    return ns
  })
  return { bare, hooked, ran, loadMs, instructions }
}

async function cost(name: string, attach: () => Promise<Attached>): Promise<Cost> {
  const rounds: Round[] = []
  for (let i = 0; i < ROUNDS; i++) rounds.push(await round(attach))
  return { name, rounds }
}

/** A whole hook of ours as the agent loads it; undefined if this kernel cannot attach it so. */
async function hookCost(mode: AttachMode | 'auto', returns: boolean): Promise<Cost | undefined> {
  using kernel = await openKernel(facts, () => mode, reader.pid)
  const into = Buffer.alloc(1 << 20)
  const policy = policyOf(returns)
  let bound: AttachMode = 'kprobe'
  const attach = async (): Promise<Attached> => {
    const [loaded] = await kernel.policies.change([], [policy])
    if (loaded === undefined) throw new Error('nothing was loaded')
    bound = loaded.hooks[0]?.mode ?? bound
    return {
      links: kernel.policies.links,
      drain: () => {
        while (kernel.ring.read(into) > 0);
      },
      [Symbol.asyncDispose]: async () => void (await kernel.policies.change([loaded], [])),
    }
  }
  await (await attach())[Symbol.asyncDispose]()
  if (mode !== 'auto' && bound !== mode) return undefined
  const { name, rounds } = await cost(bound, attach)
  const { ring_full_hook: refused } = kernel.counts().counters
  if (refused > 0)
    throw new Error(`the ring refused ${refused} records: expected none, they would make a hit look cheap`)
  return {
    name: `${name}${mode === 'auto' && returns ? ' (default here)' : ''}, ${returns ? 'with' : 'no'} return value`,
    rounds,
  }
}

const emptyObject = compileEmpty()

async function emptyCost(program: string, kind: 'fexit' | 'kprobe.multi'): Promise<Cost | undefined> {
  const attach = async (): Promise<Attached> => {
    const target = kind === 'fexit' ? { target: SYMBOL } : {}
    const object = await openObject(emptyObject, { programs: [{ name: program, kind, ...target }] })
    const link = await object.attach(program, kind === 'fexit' ? [] : [SYMBOL])
    return {
      links: [link],
      drain: () => {},
      [Symbol.asyncDispose]: () => {
        link.close()
        object.close()
        return closed()
      },
    }
  }
  try {
    return await cost(`empty program, ${kind}`, attach)
  } catch (error) {
    if (error instanceof NativeError && error.code === 'UNSUPPORTED') return undefined
    throw error
  }
}

const skipped: string[] = []
const costs: Cost[] = []
const keep = (cost: Cost | undefined, name: string): void => {
  if (cost === undefined) skipped.push(name)
  else costs.push(cost)
}
keep(await emptyCost('empty_fexit', 'fexit'), 'empty fexit')
keep(await emptyCost('empty_entry', 'kprobe.multi'), 'empty kprobe.multi')
keep(await hookCost('auto', true), 'default')
if (preempts(facts)) keep(await hookCost('fexit', true), 'fexit')
keep(await hookCost('kprobe.session', true), 'kprobe.session')
keep(await hookCost('fentry', true), 'fentry')
keep(await hookCost('join', true), 'join')
keep(await hookCost('auto', false), 'no return value')

const mid = (cost: Cost, of: (round: Round) => number): number => median(cost.rounds.map(of))
const least = (cost: Cost, of: (round: Round) => number): number => Math.min(...cost.rounds.map(of))
/** Spread of the rounds. */
const spread = (cost: Cost, of: (round: Round) => number): Pick<Rounds, 'spread'> => {
  const { spread: found } = rounds(cost.rounds.map(of))
  return found === undefined ? {} : { spread: found }
}
const ran = (cost: Cost, name: Case): number => least(cost, (round) => round.ran[name])
const bare = (name: Case): number => Math.min(...costs.map((cost) => least(cost, (round) => round.bare[name])))
const added = (cost: Cost, name: Case): number => least(cost, (round) => round.hooked[name]) - bare(name)
const relative = (cost: Cost, name: Case): number => added(cost, name) / bare(name)
const tetragonRelative = (name: Case): number => TETRAGON.addedNs[name === 'hit' ? 'hit' : 'miss'] / TETRAGON.bareNs
const bareNs = bare('shallow')
const byDefault = costs.find(({ name }) => name.includes('default'))
const isEmpty = (cost: Cost): boolean => cost.name.startsWith('empty')
const part = (ratio: number): string => (ratio < 1 ? '–' : `1/${show(ratio, ratio < 10 ? 1 : 0)}`)

const measures: Measure[] = costs.flatMap((cost) => [
  ...CASES.map((name): Measure => ({
    name: `${cost.name}: ${name}`,
    value: ran(cost, name),
    ...spread(cost, (round) => round.ran[name]),
    unit: 'ns per call, kernel statistics',
  })),
  ...CASES.map((name): Measure => ({
    name: `${cost.name}: ${name}, added to a pread`,
    value: added(cost, name),
    ...spread(cost, (round) => round.hooked[name] - round.bare[name]),
    unit: 'ns',
  })),
  { name: `${cost.name}: verifier`, value: mid(cost, (round) => round.instructions), unit: 'instructions' },
  { name: `${cost.name}: load and attach`, value: mid(cost, (round) => round.loadMs), unit: 'ms' },
])
if (byDefault !== undefined) {
  const old = facts.version[0] < 6 || (facts.version[0] === 6 && facts.version[1] < 2)
  const worst = Math.min(
    ...(['shallow', 'deep6', 'deep16'] as const).map((name) => TETRAGON.runNs[name] / ran(byDefault, name)),
  )
  const ofMiss = spread(byDefault, (round) => round.hooked.shallow - round.bare.shallow)
  measures.push(
    {
      name: 'no match, times cheaper than Tetragon (kernel statistics, worst depth)',
      value: worst,
      ...spread(byDefault, (round) => round.ran.shallow),
      unit: '×',
      atLeast: old ? 9 : 20,
    },
    {
      name: 'match, times cheaper than Tetragon (kernel statistics)',
      value: TETRAGON.runNs.hit / ran(byDefault, 'hit'),
      ...spread(byDefault, (round) => round.ran.hit),
      unit: '×',
      atLeast: 8,
    },
    {
      name: 'added to a pread that does not match',
      value: added(byDefault, 'shallow'),
      ...ofMiss,
      unit: 'ns',
      atMost: 800,
    },
    {
      name: 'added to a pread that does not match ÷ a bare pread',
      value: relative(byDefault, 'shallow'),
      ...ofMiss,
      unit: '×',
      atMost: 0.38,
    },
    {
      name: 'added to a pread that matches ÷ a bare pread',
      value: relative(byDefault, 'hit'),
      ...spread(byDefault, (round) => round.hooked.hit - round.bare.hit),
      unit: '×',
      atMost: 1,
    },
  )
}
const inOneRun = costs.find(({ name }) => name.startsWith('fexit'))
for (const joined of ['kprobe.session', 'fentry', 'join']) {
  const cost = costs.find(({ name }) => name.startsWith(joined))
  if (inOneRun === undefined || cost === undefined) continue
  const value = ran(cost, 'hit') / ran(inOneRun, 'hit')
  measures.push({ name: `match with a joined return ÷ fexit, ${joined}`, value, unit: '×', atMost: 1.2 })
}

printResult('kernel-cost', measures, [
  {
    title: `Kernel, by the kernel's statistics: ns per call of ${SYMBOL}, all programs of the hook`,
    columns: ['', 'match', 'no match, 2 deep', '6 deep', '16 deep', 'instructions verified', 'load and attach, ms'],
    rows: [
      ...costs.map((cost) => [
        cost.name.replace(', with return value', ''),
        ...CASES.map(
          (name) => show(ran(cost, name)) + (isEmpty(cost) ? '' : ` (${part(TETRAGON.runNs[name] / ran(cost, name))})`),
        ),
        show(mid(cost, (round) => round.instructions)),
        show(mid(cost, (round) => round.loadMs)),
      ]),
      ['Tetragon (its own run)', ...CASES.map((name) => show(TETRAGON.runNs[name])), '', ''],
    ],
    notes: [
      'With return value unless noted. In brackets: fraction of Tetragon’s time. Statistics add about 85 ns to each run.',
      ...(skipped.length === 0 ? [] : [`Not on this kernel: ${skipped.join(', ')}.`]),
    ],
  },
  {
    title: `Kernel, seen by the program: ns added to a one-byte pread (${show(bareNs)} ns without a hook)`,
    columns: ['', 'match', 'no match, 2 deep', '6 deep', '16 deep'],
    rows: [
      ...costs.map((cost) => [
        cost.name.replace(', with return value', ''),
        ...CASES.map(
          (name) =>
            show(added(cost, name)) +
            (isEmpty(cost) ? '' : ` (${part(tetragonRelative(name) / relative(cost, name))})`),
        ),
      ]),
      [
        `Tetragon (its own run, ${show(TETRAGON.bareNs)} ns without)`,
        ...CASES.map((name) => show(TETRAGON.addedNs[name === 'hit' ? 'hit' : 'miss'])),
      ],
    ],
    notes: [
      'In brackets: fraction of what Tetragon adds, each relative to its own bare pread. Fastest of the rounds, without statistics.',
    ],
  },
])
