/** Conditions of policies → bits of a process's verdict. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONDITIONS_MAX, ConditionTable } from '../../../../../collector/plan/conditions/table.ts'
import { FOLLOWING_MAX } from '../../../../../collector/wire/wire.ts'
import { asking, pids, programs } from '../../support/process-filters.ts'

const POLICY = { file: 'policy.yaml' }

const bit = (n: number): bigint => 1n << BigInt(n)
const distinct = (count: number, follow = false): ReturnType<typeof asking>[] =>
  Array.from({ length: count }, (_, i) => asking(programs('Equal', [`/bin/${i}`], follow)))

test('conditions: equal ones share a bit, whatever the order of their values', () => {
  const table = new ConditionTable()
  const [a, b] = [asking(programs('Equal', ['/a', '/b'])), asking(programs('Equal', ['/b', '/a', '/b']))]
  assert.equal(table.take(POLICY, [a, b], 1).process, true)
  assert.equal(table.take(POLICY, [a], 2).process, false)
  assert.equal(table.bitsOf(a.process ?? []), bit(FOLLOWING_MAX))
  assert.equal(table.bitsOf(b.process ?? []), bit(FOLLOWING_MAX))
})

test('conditions: a selector requires all of its conditions', () => {
  const table = new ConditionTable()
  const one = asking(programs('Equal', ['/a']), programs('NotEqual', ['/a'], true), pids('Equal', [1]))
  table.take(POLICY, [one, asking()], 1)
  assert.equal(table.bitsOf(one.process ?? []), bit(FOLLOWING_MAX) | bit(0) | bit(FOLLOWING_MAX + 1))
  assert.equal(table.bitsOf(asking().process ?? []), 0n)
})

test('conditions: different ones have a bit each', () => {
  const table = new ConditionTable()
  const filters = [
    programs('Equal', ['/a']),
    programs('NotEqual', ['/a']),
    programs('Prefix', ['/a']),
    programs('Equal', ['/a'], true),
    { ...programs('Equal', ['/a']), class: 'parent' as const },
    pids('Equal', [1]),
    { ...pids('Equal', [1]), class: 'innerPid' as const },
  ]
  table.take(POLICY, [asking(...filters)], 1)
  assert.equal(new Set(table.all().map((each) => each.bit)).size, filters.length)
})

test('conditions: an unused bit is free again, and gets a new meaning in a later generation', () => {
  const table = new ConditionTable()
  const [a, b] = [asking(programs('Equal', ['/a'], true)), asking(programs('Equal', ['/b'], true))]
  table.take(POLICY, [a], 1)
  table.take(POLICY, [a], 2)
  table.release([a])
  assert.equal(table.bitsOf(a.process ?? []), bit(0))
  table.release([a])
  assert.deepEqual(table.all(), [])
  assert.equal(table.take(POLICY, [b], 3).process, true)
  assert.deepEqual(
    table.all().map((each) => [each.bit, each.since, each.values]),
    [[0, 3, ['/b']]],
  )
})

for (const [name, follow, most] of [
  ['conditions', false, CONDITIONS_MAX - FOLLOWING_MAX],
  ['conditions that descendants keep', true, FOLLOWING_MAX],
] as const) {
  test(`conditions: more ${name} than bits are refused, and no bit stays taken`, () => {
    const table = new ConditionTable()
    table.take(POLICY, distinct(most, follow), 1)
    const before = table.all()
    const more = [asking(pids('Equal', [1])), asking(programs('Equal', ['/new'], follow))]
    assert.throws(() => table.take(POLICY, follow ? more : more.slice(1), 2), { code: 'POLICY_REFUSED' })
    assert.deepEqual(table.all(), before)
    // A known condition takes no further bit.
    assert.equal(table.take(POLICY, distinct(most, follow), 2).process, false)
  })
}
