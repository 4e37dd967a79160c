/**
 * matchActions: calls with and without an event, calls that fail, and signals. Each row has its hook and its folder; a process does the row's
 * lines, and then its end and its events must be the row's.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { DONE } from '../../../collector/kernel/actions/acted.ts'
import { atLeast } from '../../../collector/plan/facts.ts'
import { parseRelease } from '../../../collector/kernel/read-facts.ts'
import { line, startAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { preempts } from '../support/kernel.ts'
import { path, policy } from '../support/policy.ts'

const skip = cannotRun()
const top = skip === false ? freshFolder('actions') : '/none'
const FILES = ['a', 'b', 'quiet', `${'n'.repeat(100)}1`, `${'n'.repeat(100)}2`]
const [, , , LONG_1, LONG_2] = FILES

interface Row {
  readonly actions: readonly object[]
  /** Actions of an earlier selector, for the file `quiet`. */
  readonly quiet?: readonly object[]
  readonly hook?: object
  /** Lines of a script; `@name` is a file of the row. */
  readonly does: string
  readonly end?: string | number
  /** `ACTION file`, in order, and the return value if it is an error. */
  readonly events: readonly string[]
  readonly suppressed?: number
  /** Number of other actions that were carried out, by their names in `ktrail_hook_actions_total`. */
  readonly done?: Readonly<Record<string, number>>
  /** The first kernel that can do this. */
  readonly since?: readonly [number, number]
}

const limited = (rateLimit: string, rateLimitScope?: string): object[] => [
  { action: 'Post', rateLimit, ...(rateLimitScope === undefined ? {} : { rateLimitScope }) },
]
const READS_RETURN = { return: true, returnArg: { index: 0, type: 'int' } }
const THREAD_AND_FORK = 'read @a 3, thread 1, read @a 2, fork 1, read @a 2'

const EVERY_ROW: Readonly<Record<string, Row>> = {
  Post: { actions: [{ action: 'Post' }], does: 'read @a 2', events: ['POST a', 'POST a'] },
  NoPost: { actions: [{ action: 'NoPost' }], does: 'read @a 2', events: [], suppressed: 2 },
  'NoPost of a selector before': {
    actions: [{ action: 'Post' }],
    quiet: [{ action: 'NoPost' }],
    does: 'read @a, read @quiet, read @b',
    events: ['POST a', 'POST b'],
    suppressed: 1,
  },
  'NoPost, with the return value': {
    actions: [{ action: 'NoPost' }],
    hook: READS_RETURN,
    does: 'read @a 2',
    events: [],
    suppressed: 2,
  },
  'rateLimit of a thread': {
    actions: limited('1h'),
    does: THREAD_AND_FORK,
    events: ['POST a', 'POST a', 'POST a'],
    suppressed: 4,
  },
  'rateLimit of a process': {
    actions: limited('60m', 'process'),
    does: THREAD_AND_FORK,
    events: ['POST a', 'POST a'],
    suppressed: 5,
  },
  'rateLimit of all': { actions: limited('3600', 'global'), does: THREAD_AND_FORK, events: ['POST a'], suppressed: 6 },
  'rateLimit, other arguments': {
    actions: limited('1H'),
    does: `read @a 2, read @b, read @${LONG_1}, read @${LONG_2}, read @${LONG_1}`,
    events: ['POST a', 'POST b', `POST ${LONG_1}`, `POST ${LONG_2}`],
    suppressed: 2,
  },
  // The policies of other rows list the second argument, which differs.
  'rateLimit, an argument of other policies': {
    actions: limited('1h'),
    does: 'read @a, write @a',
    events: ['POST a'],
    suppressed: 1,
  },
  'rateLimit, an argument that differs': {
    actions: limited('1h'),
    hook: {
      args: [
        { index: 0, type: 'file' },
        { index: 1, type: 'int' },
      ],
    },
    does: 'read @a 2, write @a 2',
    events: ['POST a', 'POST a'],
    suppressed: 2,
  },
  'rateLimit, with the return value': {
    actions: limited('1h'),
    hook: READS_RETURN,
    does: 'read @a 3',
    events: ['POST a'],
    suppressed: 2,
  },
  Sigkill: {
    actions: [{ action: 'Sigkill' }],
    does: 'read @a, create @after',
    end: 'SIGKILL',
    done: { sigkill: 1 },
    events: ['SIGKILL a'],
  },
  'Sigkill, with the return value': {
    actions: [{ action: 'Sigkill' }],
    hook: READS_RETURN,
    does: 'read @a, create @after',
    end: 'SIGKILL',
    done: { sigkill: 1 },
    events: ['SIGKILL a'],
  },
  'Sigkill of a thread': {
    actions: [{ action: 'Sigkill' }],
    does: 'thread 1, read @a, create @after',
    end: 'SIGKILL',
    done: { sigkill: 1 },
    events: ['SIGKILL a'],
  },
  'Sigkill and NoPost': {
    actions: [{ action: 'Sigkill' }, { action: 'NoPost' }],
    does: 'read @a, create @after',
    end: 'SIGKILL',
    done: { sigkill: 1 },
    events: [],
    suppressed: 1,
  },
  Signal: {
    actions: [{ action: 'Signal', argSig: 10 }],
    does: 'read @a, create @after',
    end: 'SIGUSR1',
    done: { signal: 1 },
    events: ['SIGNAL a'],
  },
  'a signal that is ignored, and another': {
    actions: [{ action: 'Signal', argSig: 17 }, { action: 'Signal', argSig: 12 }, { action: 'Post' }],
    does: 'read @a, create @after',
    end: 'SIGUSR2',
    done: { signal: 2 },
    events: ['POST a'],
  },
  Override: {
    actions: [{ action: 'Override', argError: -1 }],
    does: 'denied read @a, denied write @b, create @after',
    done: { override: 2 },
    events: ['OVERRIDE a', 'OVERRIDE b'],
  },
  'Override of one file only': {
    actions: [{ action: 'Post' }],
    quiet: [{ action: 'Override', argError: -13 }],
    does: 'read @a, denied read @quiet, read @b',
    done: { override: 1 },
    events: ['POST a', 'OVERRIDE quiet', 'POST b'],
  },
  'Override, with the return value': {
    since: [5, 17],
    actions: [{ action: 'Post' }],
    quiet: [{ action: 'Override', argError: -13 }],
    hook: READS_RETURN,
    does: 'read @a, denied read @quiet, read @b, denied read @quiet',
    done: { override: 2 },
    events: ['POST a', 'OVERRIDE quiet -13', 'POST b', 'OVERRIDE quiet -13'],
  },
  'Override and NoPost': {
    actions: [{ action: 'Override', argError: -1 }, { action: 'NoPost' }],
    does: 'denied read @a',
    done: { override: 1 },
    events: [],
    suppressed: 1,
  },
  'Override and NoPost, with the return value': {
    since: [5, 17],
    actions: [{ action: 'Override', argError: -1 }, { action: 'NoPost' }],
    hook: READS_RETURN,
    does: 'denied read @a, denied read @a',
    done: { override: 2 },
    events: [],
    suppressed: 2,
  },
  'Override and rateLimit': {
    actions: [...limited('1h'), { action: 'Override', argError: -1 }],
    does: 'denied read @a, denied read @a, denied read @b',
    done: { override: 3 },
    events: ['OVERRIDE a', 'OVERRIDE b'],
    suppressed: 1,
  },
  'Override and Sigkill': {
    actions: [{ action: 'Override', argError: -1 }, { action: 'Sigkill' }],
    does: 'read @a, create @after',
    end: 'SIGKILL',
    done: { override: 1, sigkill: 1 },
    events: ['SIGKILL a'],
  },
  'Sigkill of one file only': {
    actions: [{ action: 'Post' }],
    quiet: [{ action: 'Sigkill' }],
    does: 'read @a, read @quiet, read @b',
    end: 'SIGKILL',
    done: { sigkill: 1 },
    events: ['POST a', 'SIGKILL quiet'],
  },
}

const version = parseRelease(release())
const ROWS = Object.fromEntries(
  Object.entries(EVERY_ROW).filter(([name, { since: [major, minor] = [0, 0] }]) => {
    const there = atLeast({ version }, major, minor)
    if (!there) console.log(`actions: ${name}: skipped: needs Linux ${major}.${minor}`)
    return there
  }),
)

const MONITORED: Readonly<Record<string, Row>> = {
  'Sigkill in mode monitor': {
    actions: [{ action: 'Sigkill' }],
    does: 'read @a, create @after, read @b',
    done: { monitor_sigkill: 2 },
    events: ['SIGKILL a', 'SIGKILL b'],
  },
  'Override in mode monitor': {
    actions: [{ action: 'Override', argError: -1 }],
    does: 'read @a',
    done: { monitor_override: 1 },
    events: ['OVERRIDE a'],
  },
}

/** Functions of kernels that can make system calls fail. */
const SYSTEM_CALLS_FAIL = /\b(?:bpf_override_return|within_error_injection_list)$/m

const ALL: Readonly<Record<string, Row>> = { ...ROWS, ...MONITORED }
const names = Object.keys(ALL)
const folderOf = (name: string): string => join(top, String(names.indexOf(name)))
const POLICY = 'rows'

function hookOf(name: string, { actions, quiet, hook }: Row): object {
  const inFolder = (last: string): string => `${folderOf(name)}/${last}`
  const first = quiet === undefined ? [] : [{ matchArgs: [path('Equal', inFolder('quiet'))], matchActions: quiet }]
  return {
    call: 'security_file_permission',
    syscall: false,
    args: [{ index: 0, type: 'file' }],
    message: name,
    selectors: [...first, { matchArgs: [path('Prefix', inFolder(''))], matchActions: actions }],
    ...hook,
  }
}

const hooksOf = (rows: Readonly<Record<string, Row>>): object[] =>
  Object.entries(rows).map(([name, row]) => hookOf(name, row))

function monitored(name: string, hooks: readonly object[]): string {
  const document = JSON.parse(policy(name, hooks))
  document.spec.options = [{ name: 'policy-mode', value: 'monitor' }]
  return JSON.stringify(document)
}

const scriptOf = (name: string, does: string): string[] =>
  does.split(', ').map((step) => {
    const [verb = '', ...words] = step.split(' ')
    return line(verb, ...words.map((word) => word.replace(/^@/, `${folderOf(name)}/`)))
  })

interface Seen {
  readonly message: string
  readonly text: string
  readonly flags: string
}

describe('actions', { skip }, () => {
  let agent: TestAgent
  let rowsSeen: readonly Seen[] = []
  const ends = new Map<string, string | number | null>()

  const observed = async (action: () => unknown): Promise<Seen[]> =>
    (await agent.during(action)).flatMap(({ process_kprobe: kprobe }) => {
      if (kprobe === undefined) return []
      const file = kprobe.args?.[0]?.file_arg
      const name = (file?.path ?? '').split('/').at(-1) ?? ''
      const returned = kprobe.return?.int_arg ?? 0
      const text = `${kprobe.action?.replace('KPROBE_ACTION_', '')} ${name}${returned < 0 ? ` ${returned}` : ''}`
      return [{ message: kprobe.message ?? '', text, flags: file?.flags ?? '' }]
    })

  before(async () => {
    for (const name of names) {
      mkdirSync(folderOf(name))
      for (const file of FILES) writeFileSync(join(folderOf(name), file), 'x')
    }
    agent = await TestAgent.start()
    assert.equal(await agent.apply(POLICY, policy(POLICY, hooksOf(ROWS))), 'added', JSON.stringify(agent.log().at(-1)))
    assert.equal(await agent.apply('monitor', monitored('monitor', hooksOf(MONITORED))), 'added')
    rowsSeen = await observed(async () => {
      for (const [name, { does }] of Object.entries(ALL)) {
        const { code, signal } = await startAct(scriptOf(name, does)).ended
        ends.set(name, signal ?? code)
      }
    })
  })
  after(() => agent?.[Symbol.asyncDispose]())

  for (const [name, { does, end = 0, events }] of Object.entries(ALL)) {
    test(`actions: ${name}`, () => {
      assert.equal(ends.get(name), end)
      assert.deepEqual(
        rowsSeen.filter(({ message }) => message === name).map(({ text }) => text),
        events,
      )
      // A killed process does nothing more.
      assert.equal(existsSync(join(folderOf(name), 'after')), does.includes('@after') && end === 0)
    })
  }

  test('actions: repeats and hidden calls are counted', async () => {
    const wanted = Object.values(ALL).reduce((sum, { suppressed = 0 }) => sum + suppressed, 0)
    assert.equal((await agent.metrics()).sum('ktrail_hook_suppressed_total', { policy: POLICY }), wanted)
  })

  test('actions: each is counted when it was carried out', async () => {
    const page = await agent.metrics()
    for (const [name, rows] of [
      [POLICY, ROWS],
      ['monitor', MONITORED],
    ] as const) {
      const want = new Map<string, number>(DONE.map((action) => [action, 0]))
      const add = (action: string, count: number): unknown => want.set(action, (want.get(action) ?? 0) + count)
      for (const { actions, done = {}, suppressed = 0 } of Object.values(rows)) {
        for (const [action, count] of Object.entries(done)) add(action, count)
        add(actions.some((each) => 'rateLimit' in each) ? 'rate_limited' : 'nopost', suppressed)
      }
      const got = DONE.map((action) => [action, page.sum('ktrail_hook_actions_total', { policy: name, action })])
      assert.deepEqual(Object.fromEntries(got), Object.fromEntries(want))
    }
  })

  test('actions: the time of a rateLimit ends', async () => {
    const folder = join(top, 'ends')
    mkdirSync(folder)
    writeFileSync(join(folder, 'f'), 'x')
    const hook = {
      call: 'security_file_permission',
      syscall: false,
      args: [{ index: 0, type: 'file' }],
      selectors: [{ matchArgs: [path('Prefix', folder)], matchActions: limited('2s', 'global') }],
    }
    assert.equal(await agent.apply('ends', policy('ends', [hook])), 'added')
    const read = async (): Promise<unknown> => startAct([line('read', join(folder, 'f'), 2)]).ended
    const seen = await observed(async () => {
      await read()
      await wait(2500)
      await read()
    })
    assert.deepEqual(
      seen.map(({ text }) => text),
      ['POST f', 'POST f'],
    )
    assert.equal((await agent.metrics()).sum('ktrail_hook_suppressed_total', { policy: 'ends' }), 2)
    await agent.withdraw('ends')
  })

  test('actions: a call with an incomplete path is reported, neither hidden nor punished', async () => {
    const folder = join(top, 'deep')
    mkdirSync(folder)
    const selector = (action: string): object => ({
      selectors: [
        {
          matchArgs: [path('Prefix', folder)],
          matchActions: [action === 'Override' ? { action, argError: -1 } : { action }],
        },
      ],
      message: action,
    })
    const hook = { call: 'security_file_permission', syscall: false, args: [{ index: 0, type: 'file' }] }
    const hooks = ['Sigkill', 'NoPost', 'Override'].map((action) => ({ ...hook, ...selector(action) }))
    assert.equal(await agent.apply('deep', policy('deep', hooks)), 'added')
    const down = Array.from({ length: 20 }, () => [line('mkdir', 'n'.repeat(250)), line('chdir', 'n'.repeat(250))])
    let ended: string | number | null = null
    const seen = await observed(async () => {
      const { code, signal } = await startAct([
        line('chdir', folder),
        ...down.flat(),
        line('create', 'f'),
        line('read', 'f'),
      ]).ended
      ended = signal ?? code
    })
    assert.equal(ended, 0)
    assert.deepEqual(seen.map(({ message, text, flags }) => `${message} ${text} ${flags}`).toSorted(), [
      'NoPost POST f unresolvedPathComponents',
      'Override POST f unresolvedPathComponents',
      'Sigkill POST f unresolvedPathComponents',
    ])
    const page = await agent.metrics()
    const counted = (action: string): number => page.sum('ktrail_hook_actions_total', { policy: 'deep', action })
    assert.deepEqual(['not_done', 'nopost', 'sigkill', 'override'].map(counted), [3, 0, 0, 0])
    await agent.withdraw('deep')
  })

  test('actions: Override of a system call, if the kernel supports it', async () => {
    const folder = join(top, 'calls')
    mkdirSync(folder)
    const hook = (message: string, rest: object): object => ({
      call: 'sys_mkdir',
      args: [{ index: 0, type: 'string' }],
      message,
      selectors: [
        {
          matchArgs: [{ index: 0, operator: 'Postfix', values: [`/${message}`] }],
          matchActions: [{ action: 'Override', argError: -13 }],
        },
        { matchArgs: [{ index: 0, operator: 'Prefix', values: [folder] }] },
      ],
      ...rest,
    })
    const verdict = await agent.apply('calls', policy('calls', [hook('plain', {}), hook('joined', READS_RETURN)]))
    if (!SYSTEM_CALLS_FAIL.test(readFileSync('/proc/kallsyms', 'latin1'))) {
      assert.equal(verdict, 'refused')
      assert.match(
        JSON.stringify(agent.log().at(-1)),
        /action Override: Override on system calls requires a kernel with CONFIG_BPF_KPROBE_OVERRIDE or .*: hook a function security_/,
      )
      return
    }
    assert.equal(verdict, 'added', JSON.stringify(agent.log().at(-1)))
    const steps = ['plain', 'other', 'joined'].map((name) =>
      name === 'other' ? line('mkdir', join(folder, name)) : line('denied', 'mkdir', join(folder, name)),
    )
    const seen: string[] = []
    const lines = await agent.during(async () => {
      assert.equal((await startAct(steps).ended).code, 0)
    })
    for (const { process_kprobe: kprobe } of lines) {
      const action = kprobe?.action?.replace('KPROBE_ACTION_', '')
      const name = kprobe?.args?.[0]?.string_arg?.split('/').at(-1)
      if (kprobe !== undefined) seen.push(`${kprobe.message} ${action} ${name} ${kprobe.return?.int_arg}`)
    }
    assert.deepEqual(seen.toSorted(), [
      'joined OVERRIDE joined -13',
      'joined POST other 0',
      'joined POST plain -13',
      'plain OVERRIDE plain undefined',
      'plain POST joined undefined',
      'plain POST other undefined',
    ])
    assert.deepEqual([existsSync(join(folder, 'plain')), existsSync(join(folder, 'other'))], [false, true])
    await agent.withdraw('calls')
  })

  test('actions: the agent is never killed, and its calls never fail', async () => {
    const hook = {
      call: 'security_file_permission',
      syscall: false,
      args: [{ index: 0, type: 'file' }],
      selectors: [
        {
          matchArgs: [path('Prefix', agent.policies)],
          matchActions: [{ action: 'Override', argError: -1 }, { action: 'Sigkill' }],
        },
      ],
    }
    assert.equal(await agent.apply('self', policy('self', [hook])), 'added')
    // The agent reads its file.
    assert.equal(await agent.apply('other', policy('other', [hook])), 'added')
    const killed = await startAct([line('read', join(agent.policies, 'other.yaml'))]).ended
    assert.equal(killed.signal, 'SIGKILL')
    for (const name of ['self', 'other']) await agent.withdraw(name)
  })

  test('actions: nothing was lost', async () => {
    const skipped = /^missed_run\(security_file_permission\)=/
    // A preempted fmod_ret program hides other tasks' calls there (docs/reference/policy/actions.md).
    const losses = (await agent.metrics()).losses().filter((loss) => !(preempts() && skipped.test(loss)))
    assert.deepEqual(losses, [])
  })

  test('actions: an agent that is killed leaves no enforcement behind', async () => {
    const read = line('read', join(folderOf('Override'), 'a'))
    assert.equal((await startAct([`denied ${read}`]).ended).code, 0)
    assert.deepEqual(await agent.kill(), { code: null, signal: 'SIGKILL' })
    assert.equal((await startAct([read]).ended).code, 0)
  })
})
