import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atLeast } from '../../../../collector/plan/facts.ts'

test('facts: versions compare by number, not by text', () => {
  const facts = { version: [6, 12] as const }
  assert.ok(atLeast(facts, 6, 2) && atLeast(facts, 6, 12) && atLeast(facts, 5, 18))
  assert.ok(!atLeast(facts, 6, 13) && !atLeast(facts, 7, 0))
})
