/** Whether the agent was stopped: gaps between its checks, SIGCONT, and its tracer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentStops } from '../../../../collector/guard/agent-stops.ts'

interface Rig extends Disposable {
  /** Lets time pass, of which the main thread ran or waited for a CPU for `busyMs`; then checks. */
  after(ms: number, busyMs?: number): string[]
  /** Time passes; SIGCONT arrives. */
  continued(ms?: number): void
  /** Time passes; a cgroup.events changes. */
  thawed(ms?: number): void
  tracer: number | undefined
  cgroup: string
  sleptMs: number
  readonly watched: string[]
  readonly logged: string[]
}

function rig(): Rig {
  let [nowMs, busyMs] = [1_000, 0]
  let frozen = (): void => {}
  const files = {
    'self/status': () => (of.tracer === undefined ? undefined : `Name:\tnode\nTracerPid:\t${of.tracer}\nUid:\t0\n`),
    'self/schedstat': () => `${busyMs * 5e5} ${busyMs * 5e5} 12\n`,
    'self/cgroup': () => `6:freezer:/\n0::${of.cgroup}\n`,
    uptime: () => `${((nowMs + of.sleptMs) / 1000).toFixed(2)} 5432.10\n`,
  }
  const of: Rig = {
    tracer: 0,
    cgroup: '/system.slice/ktrail.service',
    sleptMs: 0,
    watched: [],
    logged: [],
    after(ms, busy = 0) {
      nowMs += ms
      busyMs += busy
      return stops.check().map(({ kind, got }) => `${kind}: ${got}`)
    },
    continued(ms = 0) {
      nowMs += ms
      process.emit('SIGCONT', 'SIGCONT')
    },
    thawed(ms = 0) {
      nowMs += ms
      frozen()
    },
    [Symbol.dispose]: () => stops[Symbol.dispose](),
  }
  const stops = new AgentStops({
    log: {
      info: (line: string) => of.logged.push(`info: ${line}`),
      warn: (line: string) => of.logged.push(`warn: ${line}`),
    } as never,
    nowMs: () => nowMs,
    read: (file) => files[file](),
    watchFile: (path, changed) => {
      of.watched.push(path)
      frozen = changed
      return () => of.watched.push(`no ${path}`)
    },
  })
  return of
}

const stopped = (seconds: string): string[] => [`agent_stopped: it was stopped for up to ${seconds} s`]
const heldUp = (seconds: string, busy: string): string =>
  `warn: the agent was held up for ${seconds} s: it ran or waited for a CPU for ${busy} s of it, and no other process seems to have stopped it: ` +
  'check the host for lack of memory, disk or CPU (/proc/pressure), and for a paused virtual machine'

test('agent stops: a gap that the pace of an idle agent explains is none', () => {
  using of = rig()
  assert.deepEqual([of.after(2_000), of.after(6_000), of.after(7_900), of.after(6_000)], [[], [], [], []])
  assert.deepEqual(of.logged, [])
})

test('agent stops: a starved agent is no tampering: its longer gap is a warning, once, unless it was busy or waited for a CPU', () => {
  using of = rig()
  assert.deepEqual([of.after(63_600, 4), of.after(2_000), of.after(2_000)], [[], [], []])
  assert.deepEqual(of.logged, [heldUp('63.6', '0.0')])
  // Recorded on Linux 6.18: a process that its cgroup lets run for 1 % of the time.
  assert.deepEqual([of.after(12_501, 113 + 12_387), of.after(60_000, 55_000), of.after(2_000)], [[], [], []])
  assert.equal(of.logged.length, 1)
})

test('agent stops: SIGCONT also reveals a short stop', () => {
  using of = rig()
  of.continued(3_000)
  assert.deepEqual(of.after(1_000), stopped('3.0'))
  assert.deepEqual(of.after(1_000), [])
  // Recorded on Linux 6.18: the timer that was due comes before SIGCONT.
  assert.deepEqual(of.after(6_040, 1), [])
  of.continued(1)
  assert.deepEqual(of.after(1_002, 1), stopped('6.0'))
  assert.deepEqual(of.after(20_000), [])
  of.continued(1)
  assert.deepEqual(of.after(2_000), stopped('20.0'))
  // That check has reported it.
  of.continued(1)
  assert.deepEqual(of.after(2_000), [])
  assert.deepEqual(of.logged, [])
})

test('agent stops: a thawed cgroup reveals the time in the freezer, and so does another cgroup after a gap', () => {
  using of = rig()
  of.thawed(30_000)
  assert.deepEqual(of.after(10), stopped('30.0'))
  const [first, second] = ['/system.slice/ktrail.service', '/frozen'].map(
    (name) => `/sys/fs/cgroup${name}/cgroup.events`,
  )
  of.cgroup = '/frozen'
  assert.deepEqual(of.after(2_000), [])
  assert.deepEqual(of.watched, [first, `no ${first}`, second])
  assert.deepEqual(of.after(30_000), [])
  of.thawed(5)
  assert.deepEqual(of.after(2_000), stopped('30.0'))
  of.cgroup = '/system.slice/ktrail.service'
  assert.deepEqual(of.after(30_000), stopped('30.0'))
  assert.deepEqual(of.logged, [])
})

test('agent stops: a suspended host is neither tampering nor a stopped agent', () => {
  using of = rig()
  of.sleptMs = 600_000
  assert.deepEqual([of.after(2_000), of.after(2_000)], [[], []])
  assert.deepEqual(of.logged, ['info: the host was suspended for 600.0 s, and no program ran'])
})

test('agent stops: a tracer is named as long as there is one', () => {
  using of = rig()
  of.tracer = 77
  assert.deepEqual(
    [of.after(1), of.after(1)],
    [['agent_traced: traced by process 77'], ['agent_traced: traced by process 77']],
  )
  assert.deepEqual(of.after(9_000), [...stopped('9.0'), 'agent_traced: traced by process 77'])
  of.tracer = undefined
  assert.deepEqual(of.after(1), [])
})

test('agent stops: dispose removes the handler of SIGCONT', () => {
  const before = process.listenerCount('SIGCONT')
  rig()[Symbol.dispose]()
  assert.equal(process.listenerCount('SIGCONT'), before)
})
