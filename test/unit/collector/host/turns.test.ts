import assert from 'node:assert/strict'
import test from 'node:test'
import { Turns } from '../../../../collector/host/turns.ts'

test('turns: a turn ends after some milliseconds, and the next begins after the event loop has run', async () => {
  let nowMs = 100
  const turns = new Turns(() => nowMs)
  assert.equal(turns.over, false)
  nowMs += 4
  assert.equal(turns.over, false)
  nowMs += 1
  assert.equal(turns.over, true)
  let ran = false
  setImmediate(() => (ran = true))
  await turns.rest()
  assert.equal(ran, true)
  assert.equal(turns.over, false)
  nowMs += 5
  assert.equal(turns.over, true)
})
