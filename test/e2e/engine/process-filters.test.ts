/**
 * matchBinaries, matchParentBinaries and matchPIDs, compared with plain logic. Processes that ran before the agent or before the policy, fork, or
 * exec each read one file; each hook must report exactly the files of the processes that its filters select.
 */
import assert from 'node:assert/strict'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { CAPABILITIES } from '../../../config/policy/selectors/capabilities.ts'
import { processMatches } from '../../support/policies/process-filters.ts'
import type { ProcessFacts, ProcessFilters } from '../../support/policies/process-filters.ts'
import { actBinary, line, scriptFile, startAct } from '../support/act.ts'
import type { Acting } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { until } from '../support/wait.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { keep, lose } from '../guard/support/images.ts'

const skip = cannotRun()
const top = skip === false ? freshFolder('programs') : '/none'
const at = (...names: string[]): string => join(top, ...names)
const DATA = at('data/')

const ONE = at('bin', 'one')
const TWO = at('bin', 'two')
const THREE = at('other', 'three')
/** A path longer than the part that is kept. */
const LONG = at('l'.repeat(200), 'm'.repeat(200), 'n'.repeat(100))
const NODE = realpathSync(process.execPath)

const FILES =
  'older older-child early early-child early-two first again long late-one late-fork late-thread late-two late-three inner inner-child mount plain lost lost-two lost-both stale stale-two stale-child'.split(
    ' ',
  )

/** Lines of a script; `@name` is one of the files. */
const script = (text: string): string[] =>
  text.split(', ').map((step) => {
    const [verb = '', ...words] = step.split(' ')
    return line(verb, ...words.map((word) => word.replace(/^@/, DATA)))
  })

/** The processes that read the files of one row. */
type Readers = Readonly<Record<string, ProcessFacts>>

function facts(
  program: string,
  pid: number,
  rest: { parent?: string; innerPid?: number; before?: ProcessFacts } = {},
): ProcessFacts {
  return { program, pid, parent: rest.parent ?? NODE, innerPid: rest.innerPid ?? 0, before: rest.before }
}

const binaries = (operator: string, values: string[], followChildren?: boolean): ProcessFilters => ({
  matchBinaries: [{ operator, values, ...(followChildren === undefined ? {} : { followChildren }) }],
})
const parents = (operator: string, values: string[], followChildren?: boolean): ProcessFilters => ({
  matchParentBinaries: [{ operator, values, ...(followChildren === undefined ? {} : { followChildren }) }],
})

const namespaces = (namespace: string, operator: string, ...values: string[]): ProcessFilters => ({
  matchNamespaces: [{ namespace, operator, values }],
})
const capabilities = (operator: string, ...values: string[]): ProcessFilters => ({
  matchCapabilities: [{ operator, values }],
})

const manyNames = Array.from({ length: 100 }, (_, i) => at('bin', `none-${i}`))

/** The process that another one waits for. */
const childOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))

/** Rows whose pids are known when the policy is applied. */
const ROWS = (early: number, older: number): Readonly<Record<string, ProcessFilters>> => ({
  In: binaries('In', [ONE, THREE]),
  'In, one hundred values': binaries('In', [...manyNames, TWO]),
  'In, followChildren': binaries('In', [ONE], true),
  NotIn: binaries('NotIn', [ONE, TWO]),
  'NotIn, followChildren': binaries('NotIn', [TWO], true),
  Prefix: binaries('Prefix', [at('bin/')]),
  'Prefix of a long path': binaries('Prefix', [LONG.slice(0, 255)]),
  NotPrefix: binaries('NotPrefix', [at('bin/t'), at('other/')]),
  Postfix: binaries('Postfix', ['/two', 'ee']),
  'Postfix of a long path': binaries('Postfix', ['n'.repeat(100)]),
  NotPostfix: binaries('NotPostfix', ['e']),
  'In, what a path only begins with': binaries('In', [LONG.slice(0, 255), at('bin', 'on'), THREE]),
  'parent In': parents('In', [ONE]),
  'parent NotIn': parents('NotIn', [ONE, NODE]),
  'parent Prefix': parents('Prefix', [at('bin/')]),
  'parent Postfix': parents('Postfix', ['/two']),
  'parent In, followChildren': parents('In', [TWO], true),
  'pid In': { matchPIDs: [{ operator: 'In', values: [1, early, older] }] },
  'pid NotIn': { matchPIDs: [{ operator: 'NotIn', values: [early] }] },
  'pid In, followForks': { matchPIDs: [{ operator: 'In', values: [early], followForks: true }] },
  'pid NotIn, followForks': { matchPIDs: [{ operator: 'NotIn', values: [early, 7], followForks: true }] },
  'pid, two entries': {
    matchPIDs: [
      { operator: 'In', values: [early], followForks: true },
      { operator: 'NotIn', values: [early] },
    ],
  },
  'inner pid In': { matchPIDs: [{ operator: 'In', values: [1, older], isNamespacePID: true }] },
  'inner pid In, followForks': {
    matchPIDs: [{ operator: 'In', values: [1], isNamespacePID: true, followForks: true }],
  },
  'inner pid NotIn, followForks': {
    matchPIDs: [{ operator: 'NotIn', values: [2], isNamespacePID: true, followForks: true }],
  },
  'namespace In host_ns': namespaces('Pid', 'In', 'host_ns'),
  'namespace NotIn host_ns': namespaces('Pid', 'NotIn', '7', 'host_ns'),
  'namespace, more than four values': namespaces('Mnt', 'In', '1', '2', '3', '4', '5', 'host_ns'),
  'namespace, one that none is in': namespaces('Mnt', 'NotIn', '1', 'host_ns'),
  'namespaces, all that there are': {
    matchNamespaces: [
      'Uts',
      'Ipc',
      'Mnt',
      'Pid',
      'PidForChildren',
      'Net',
      'Time',
      'TimeForChildren',
      'Cgroup',
      'User',
    ].map((namespace) => ({ namespace, operator: 'In', values: ['host_ns'] })),
  },
  'capability In': capabilities('In', 'CAP_SYS_ADMIN', 'CAP_CHOWN'),
  'capability NotIn': capabilities('NotIn', 'CAP_BPF'),
  'capability Permitted NotIn': {
    matchCapabilities: [{ type: 'Permitted', operator: 'NotIn', values: ['DAC_OVERRIDE'] }],
  },
  'namespace changes In': { matchNamespaceChanges: [{ operator: 'In', values: ['Net', 'Mnt'] }] },
  'namespace changes NotIn': { matchNamespaceChanges: [{ operator: 'NotIn', values: ['User', 'Pid'] }] },
  'capability changes In': { matchCapabilityChanges: [{ operator: 'In', values: ['CAP_BPF', 'CAP_CHOWN'] }] },
  'capability changes NotIn, Permitted': {
    matchCapabilityChanges: [{ type: 'Permitted', operator: 'NotIn', values: ['CAP_BPF'] }],
  },
  'capability changes and path and program': {
    matchCapabilityChanges: [{ operator: 'In', values: ['CAP_KILL'] }],
    ...binaries('In', [ONE]),
  },
  'capability and path and program': { ...capabilities('In', 'CAP_KILL'), ...binaries('In', [ONE]) },
  'all three': {
    ...binaries('Prefix', [at('bin/')]),
    ...parents('In', [ONE]),
    matchPIDs: [{ operator: 'In', values: [early], followForks: true }],
  },
})

const mountsFile = (pid: number): string => `/proc/${pid}/ns/mnt`
const mountsOf = (pid: number): string => readlinkSync(mountsFile(pid))

const NOTHING_ASKED = 'no condition'

describe('filters on processes', { skip }, () => {
  let agent: TestAgent
  let older: Acting
  const got = new Map<string, string[]>()
  let rows: Readonly<Record<string, ProcessFilters>> = {}
  let readers: Readers = {}

  /** The names of files that each hook reported. */
  const observed = async (action: () => unknown): Promise<Map<string, string[]>> => {
    const names = new Map<string, string[]>()
    for (const { process_kprobe: kprobe } of await agent.during(action)) {
      if (kprobe === undefined) continue
      const message = kprobe.message ?? ''
      const name = (kprobe.args?.[0]?.file_arg?.path ?? '').slice(DATA.length)
      names.set(message, [...(names.get(message) ?? []), name])
    }
    return names
  }

  const hook = (message: string, filters: ProcessFilters): object => ({
    ...fileHook([path('Prefix', DATA)]),
    message,
    selectors: [{ matchArgs: [path('Prefix', DATA)], ...filters }],
  })

  before(async () => {
    for (const program of [ONE, TWO, THREE, LONG]) {
      mkdirSync(dirname(program), { recursive: true })
      copyFileSync(actBinary(), program)
    }
    chmodSync(top, 0o755)
    mkdirSync(DATA)
    for (const name of FILES) writeFileSync(DATA + name, 'x')
    older = startAct(script('wait, read @older, fork 1, read @older-child'), { binary: THREE })
    agent = await TestAgent.start()
    const two = scriptFile(script('read @early-two'))
    const steps = `wait, read @first, create ${at('ready')}, wait, read @early, fork 1, read @early-child, exec ${TWO} ${TWO} ${two}`
    const early = startAct(script(steps), { binary: ONE })
    // The first policy's conditions are evaluated for all processes, and again for later policies.
    assert.equal(await agent.apply('first', policy('first', [hook('first', binaries('In', [ONE], true))])), 'added')
    const first = await observed(async () => {
      early.go()
      await until('the first read', () => existsSync(at('ready')))
    })
    assert.deepEqual(Object.fromEntries(first), { first: ['first'] })

    rows = ROWS(early.pid, older.pid)
    const hooks = Object.entries({ [NOTHING_ASKED]: {}, ...rows }).map(([message, filters]) => hook(message, filters))
    const verdict = await agent.apply('rows', policy('rows', hooks))
    assert.equal(verdict, 'added', JSON.stringify(agent.log().at(-1)))
    await agent.withdraw('first')

    const three = scriptFile(script('read @late-three'))
    const lateTwo = scriptFile(script(`read @late-two, fork 1, exec ${THREE} ${THREE} ${three}`))
    const lateSteps = `wait, read @late-one, fork 1, read @late-fork, thread 1, read @late-thread, fork 1, exec ${TWO} ${TWO} ${lateTwo}`
    const late = startAct(script(lateSteps), { binary: ONE })
    const inside = startAct(script('wait, pidns, fork 3, read @inner, fork 1, read @inner-child'), { binary: THREE })
    const lostFork = scriptFile(script(`read @lost-two, create ${at('lost-3')}, wait, read @lost-both`))
    const lost = startAct(
      script(
        `wait, fork 3, create ${at('lost-1')}, wait, read @lost, fork 3, create ${at('lost-2')}, wait, exec ${TWO} ${TWO} ${lostFork}`,
      ),
      { binary: ONE },
    )
    const staleTwo = scriptFile(script(`create ${at('stale-2')}, wait, fork 1, read @stale-child, read @stale-two`))
    const stale = startAct(script(`wait, read @stale, create ${at('stale-1')}, wait, exec ${TWO} ${TWO} ${staleTwo}`), {
      binary: ONE,
    })
    const names = await observed(async () => {
      for (const acting of [older, early, late, inside, lost, stale]) acting.go()
      await until('the read before the exec', () => existsSync(at('stale-1')))
      const putBack = keep(stale.pid)
      stale.go()
      await until('the exec', () => existsSync(at('stale-2')))
      putBack()
      stale.go()
      assert.equal((await stale.ended).code, 0)
      for (const n of [1, 2, 3]) {
        await until(`step ${n}`, () => existsSync(at(`lost-${n}`)))
        lose(childOf(lost.pid))
        // If the parent is unknown as well, its program is found too.
        if (n === 3) lose(lost.pid)
        lost.go()
      }
      assert.equal((await lost.ended).code, 0)
      const long = startAct(script('read @long'), { binary: LONG })
      const mount = startAct(script('private, read @mount'), { binary: ONE })
      const plain = startAct(script('user 1000, read @plain'), { binary: ONE })
      for (const { ended } of [older, early, late, inside, long, mount, plain]) assert.equal((await ended).code, 0)
    })
    for (const [message, files] of names) got.set(message, files)

    const olderFacts = facts(THREE, older.pid)
    const earlyFacts = facts(ONE, early.pid)
    const lateFacts = facts(ONE, late.pid)
    const lostFacts = facts(ONE, lost.pid)
    const staleFacts = facts(ONE, stale.pid)
    const staleTwoFacts = facts(TWO, stale.pid, { parent: ONE, before: staleFacts })
    const innerFacts = {
      ...facts(THREE, -3, { parent: THREE, innerPid: 1, before: facts(THREE, inside.pid) }),
      outside: ['Pid', 'PidForChildren'],
    }
    const lateTwoFacts = facts(TWO, -2, { parent: ONE, before: lateFacts })
    readers = {
      older: olderFacts,
      'older-child': facts(THREE, -1, { parent: THREE, before: olderFacts }),
      early: earlyFacts,
      'early-child': facts(ONE, -1, { parent: ONE, before: earlyFacts }),
      'early-two': facts(TWO, early.pid, { parent: ONE, before: earlyFacts }),
      'late-one': lateFacts,
      'late-fork': facts(ONE, -1, { parent: ONE, before: lateFacts }),
      'late-thread': lateFacts,
      'late-two': lateTwoFacts,
      'late-three': facts(THREE, -4, { parent: TWO, before: lateTwoFacts }),
      inner: innerFacts,
      'inner-child': {
        ...facts(THREE, -5, { parent: THREE, innerPid: 2, before: innerFacts }),
        outside: ['Pid', 'PidForChildren'],
      },
      mount: { ...facts(ONE, -7), outside: ['Mnt'], otherNamespaces: ['Mnt'] },
      plain: {
        ...facts(ONE, -8),
        capabilities: { Effective: [], Permitted: [] },
        otherCapabilities: { Effective: CAPABILITIES, Permitted: CAPABILITIES },
      },
      long: facts(LONG, -6),
      stale: staleFacts,
      'stale-two': staleTwoFacts,
      'stale-child': facts(TWO, -11, { parent: TWO, before: staleTwoFacts }),
      lost: facts(ONE, -9, { parent: ONE, before: lostFacts }),
      'lost-two': facts(TWO, -10, { parent: ONE, before: lostFacts }),
      'lost-both': facts(TWO, -10, { parent: ONE }),
    }
  })
  after(() => agent?.[Symbol.asyncDispose]())

  test('filters on processes: a hook without filters reports all processes', () => {
    assert.deepEqual(got.get(NOTHING_ASKED)?.toSorted(), Object.keys(readers).toSorted())
  })

  for (const name of Object.keys(ROWS(0, 0))) {
    test(`filters on processes: ${name}`, () => {
      const filters = rows[name] ?? assert.fail('no such row')
      const want = Object.keys(readers).filter((file) => processMatches(filters, readers[file] ?? assert.fail(file)))
      assert.deepEqual((got.get(name) ?? []).toSorted(), want.toSorted())
      assert.ok(want.length > 0 && want.length < Object.keys(readers).length, 'the row must match some and not all')
    })
  }

  test('filters on processes: bits that descendants inherited from an earlier policy do not count for a later one', async () => {
    const parent = startAct(script('wait, fork 1, read @again'), { binary: TWO })
    assert.equal(await agent.apply('rows', policy('rows', [hook('is two', binaries('In', [TWO], true))])), 'replaced')
    const seen = await observed(async () => {
      const child = startAct(script('read @early'), { binary: TWO })
      assert.equal((await child.ended).code, 0)
    })
    assert.deepEqual(Object.fromEntries(seen), { 'is two': ['early'] })
    // The bit has another meaning now.
    assert.equal(await agent.apply('rows', policy('rows', [hook('is one', binaries('In', [ONE], true))])), 'replaced')
    const other = await observed(async () => {
      parent.go()
      assert.equal((await parent.ended).code, 0)
    })
    assert.deepEqual(Object.fromEntries(other), {})
  })

  test('filters on processes: each selector compares changes with its own last match', async () => {
    const changes = { matchNamespaceChanges: [{ operator: 'In', values: ['Mnt'] }] }
    const capability = { matchCapabilityChanges: [{ operator: 'In', values: ['CAP_CHOWN'] }] }
    const on = (message: string, names: readonly string[], filters: ProcessFilters): object => ({
      ...fileHook([path('Prefix', DATA)]),
      message,
      selectors: [{ matchArgs: [path('Equal', ...names.map((name) => DATA + name))], ...filters }],
    })
    // Starts before any policy filters by changes.
    const acting = startAct(
      script(
        'private, wait, read @older, private, read @first 2, private, read @first, read @again, read @again, fork 1, read @first, user 1000, read @mount 2',
      ),
      { binary: ONE },
    )
    const hooks = [
      on('one', ['older', 'first'], changes),
      on('other', ['again'], changes),
      on('capabilities', ['older', 'first', 'mount'], capability),
      {
        ...fileHook([path('Prefix', DATA)]),
        message: 'hidden',
        selectors: [
          { matchArgs: [path('Equal', `${DATA}mount`)], ...capability, matchActions: [{ action: 'NoPost' }] },
          { matchArgs: [path('Equal', `${DATA}mount`)] },
        ],
      },
    ]
    await until('the first namespace', () => acting.pid > 0 && mountsOf(acting.pid) !== mountsOf(process.pid))
    // The namespace is held open: else the kernel reuses its number.
    const first = openSync(mountsFile(acting.pid), 'r')
    assert.equal(await agent.apply('changes', policy('changes', hooks)), 'added')
    const seen = await observed(async () => {
      acting.go()
      assert.equal((await acting.ended).code, 0)
      // After an exec, changes count from the exec.
      const two = scriptFile(script('read @first, private, read @again'))
      const execs = startAct(script(`private, exec ${TWO} ${TWO} ${two}`), { binary: ONE })
      assert.equal((await execs.ended).code, 0)
    })
    closeSync(first)
    // Messages of this policy.
    const own = ['one', 'other', 'capabilities', 'hidden'].map((message) => [message, seen.get(message)])
    assert.deepEqual(Object.fromEntries(own), {
      one: ['first', 'first'],
      other: ['again', 'again'],
      capabilities: ['mount'],
      hidden: ['mount'],
    })
    const done = await agent.metrics()
    assert.equal(done.sum('ktrail_hook_actions_total', { policy: 'changes', action: 'nopost' }), 1)
    await agent.withdraw('changes')
  })

  test('filters on processes: nothing was lost', async () => {
    const metrics = await agent.metrics()
    assert.deepEqual(metrics.losses(), [])
    const found = (kind: string): number => metrics.sum('ktrail_kernel_fallbacks_total', { kind })
    // On a preemptible kernel, processes whose fork was not seen count, too.
    assert.ok(found('image_missed') >= 3, 'those that were taken out')
    assert.equal(found('program_unknown'), 0)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  })
})
