/** Periodic work: every two seconds while the agent works, every six while nothing happens, and then some of it at every third tick. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Housekeeping } from '../../../../collector/host/housekeeping.ts'

interface Rig {
  readonly keeping: Housekeeping
  /** Lets the time pass; returns the seconds of the ticks in it. */
  pass(seconds: number): number[]
  /** Seconds of all ticks with the tasks of `after`. */
  readonly after: readonly number[]
}

function rig(context: TestContext): Rig {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const keeping = new Housekeeping()
  let now = 0
  let ticks: number[] = []
  const after: number[] = []
  keeping.start({ always: [() => void ticks.push(now)], after: [() => void after.push(now)] })
  return {
    keeping,
    after,
    pass(seconds) {
      ticks = []
      for (const end = now + seconds; now < end;) {
        now++
        context.mock.timers.tick(1000)
      }
      return ticks
    },
  }
}

test('housekeeping: ticks every two seconds, and after ten quiet seconds every six', (context) => {
  const { pass } = rig(context)
  assert.deepEqual(pass(36), [2, 4, 6, 8, 10, 12, 18, 24, 30, 36])
})

test('housekeeping: tasks of `after` run at each tick, and in an idle agent at every third', (context) => {
  const { keeping, pass, after } = rig(context)
  pass(54)
  assert.deepEqual(after, [2, 4, 6, 8, 10, 12, 30, 48])
  keeping.working()
  pass(13)
  assert.deepEqual(after.slice(8), [56, 58, 60, 62, 64, 66])
})

test('housekeeping: work restores the fast pace at once, and keeps it', (context) => {
  const { keeping, pass } = rig(context)
  pass(19)
  keeping.working()
  assert.deepEqual(pass(5), [21, 23])
  for (let i = 0; i < 30; i++) {
    keeping.working()
    assert.deepEqual(pass(2), [25 + 2 * i])
  }
  assert.deepEqual(pass(24), [85, 87, 89, 91, 93, 99, 105])
})

test('housekeeping: constant work does not postpone a tick', (context) => {
  const { keeping, pass } = rig(context)
  pass(13)
  const ticks = [1, 2, 3, 4].flatMap(() => {
    keeping.working()
    return pass(1)
  })
  assert.deepEqual(ticks, [15, 17])
})

test('housekeeping: runs all tasks in their order, none after its end', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const keeping = new Housekeeping()
  const ran: string[] = []
  const tasks = ['a', 'b', 'c', 'd'].map((name) => (): void => void ran.push(name))
  keeping.start({ always: tasks.slice(2), after: tasks.slice(0, 2) })
  context.mock.timers.tick(2000)
  keeping[Symbol.dispose]()
  keeping.working()
  context.mock.timers.tick(60_000)
  assert.deepEqual(ran, ['a', 'b', 'c', 'd'])
})
