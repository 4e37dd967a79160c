/** Whether the agent was stopped: gaps between its checks, SIGCONT, and its tracer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentStops } from '../../../../../collector/kernel/guard/agent-stops.ts'

interface Rig extends Disposable {
  /** Lets time pass, of which the main thread ran or waited for a CPU for `busyMs`; then checks. */
  after(ms: number, busyMs?: number): string[]
  /** Time passes; SIGCONT arrives. */
  continued(ms?: number): void
  tracer: number | undefined
}

function rig(): Rig {
  let [nowMs, busyMs] = [1_000, 0]
  const stops = new AgentStops({
    nowMs: () => nowMs,
    read: (file) =>
      file === 'status'
        ? of.tracer === undefined
          ? undefined
          : `Name:\tnode\nTracerPid:\t${of.tracer}\nUid:\t0\n`
        : `${busyMs * 5e5} ${busyMs * 5e5} 12\n`,
  })
  const of: Rig = {
    tracer: 0,
    after(ms, busy = 0) {
      nowMs += ms
      busyMs += busy
      return stops.check().map(({ kind, got }) => `${kind}: ${got}`)
    },
    continued(ms = 0) {
      nowMs += ms
      process.emit('SIGCONT', 'SIGCONT')
    },
    [Symbol.dispose]: () => stops[Symbol.dispose](),
  }
  return of
}

const stopped = (seconds: string): string[] => [`agent_stopped: it did not run for up to ${seconds} s`]

test('agent stops: a gap that the pace of an idle agent explains is none', () => {
  using of = rig()
  assert.deepEqual([of.after(2_000), of.after(6_000), of.after(7_900)], [[], [], []])
})

test('agent stops: a longer gap is one, once, unless the agent was busy or waited for a CPU', () => {
  using of = rig()
  assert.deepEqual(of.after(8_100), stopped('8.1'))
  assert.deepEqual(of.after(2_000), [])
  assert.deepEqual(of.after(60_000, 55_000), [])
  assert.deepEqual(of.after(60_000, 5_000), stopped('60.0'))
})

test('agent stops: SIGCONT tells also of a short one', () => {
  using of = rig()
  of.continued(3_000)
  assert.deepEqual(of.after(1_000), stopped('3.0'))
  assert.deepEqual(of.after(1_000), [])
  // A check that was due came first: its gap was the stop.
  assert.deepEqual(of.after(5_000), [])
  of.continued(1)
  assert.deepEqual(of.after(2_000), stopped('5.0'))
  // That check has already reported it.
  assert.deepEqual(of.after(20_000), stopped('20.0'))
  of.continued(1)
  assert.deepEqual(of.after(2_000), [])
})

test('agent stops: a tracer is named as long as there is one', () => {
  using of = rig()
  of.tracer = 77
  assert.deepEqual(
    [of.after(1), of.after(1)],
    [['agent_traced: process 77 traces it'], ['agent_traced: process 77 traces it']],
  )
  of.tracer = undefined
  assert.deepEqual(of.after(1), [])
})

test('agent stops: the handler of SIGCONT is gone with it', () => {
  const before = process.listenerCount('SIGCONT')
  rig()[Symbol.dispose]()
  assert.equal(process.listenerCount('SIGCONT'), before)
})
