import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BUDGET, linesByRoom } from '../../support/lint/budget.ts'

test('budget: no room has more lines than budget.json gives it', () => {
  const lines = linesByRoom()
  const over = [...lines].filter(([room, count]) => count > (BUDGET[room] ?? 0))
  const next = 'remove some, or raise the number in test/support/lint/budget.json and say why in the commit'
  assert.deepEqual(
    over.map(([room, count]) => `${room}: ${count} lines, at most ${BUDGET[room] ?? 0}: ${next}`),
    [],
  )
  assert.deepEqual(
    Object.keys(BUDGET).filter((room) => !lines.has(room)),
    [],
    'rooms that are gone',
  )
})

test('budget: a room 10 % below its budget gets a lower one', () => {
  const lines = linesByRoom()
  const loose = Object.entries(BUDGET).filter(([room, most]) => (lines.get(room) ?? 0) < most * 0.9 - 50)
  assert.deepEqual(loose, [])
})
