import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PAUSE_MS, Pace } from '../../../../collector/api/events/pace.ts'

/** An event loop of which other work uses `others`; a reader always has a message of 0.1 ms. Returns the share of the reader. */
function shareOf(others: number): number {
  let now = 0
  let idle = 0
  let used = 0
  const pace = new Pace(
    () => now,
    () => idle,
  )
  const message = (): void => {
    now += 0.1
    used += 0.1
  }
  for (let turn = 0; turn < 10_000; turn++) {
    // The part of a turn that others use.
    now += others
    const exhausted = pace.exhausted
    if (!exhausted) for (let i = 0; i < 10; i++) pace.count(message)
    const waits = (exhausted ? PAUSE_MS : 1) * (1 - others)
    idle += waits
    now += waits
  }
  return used / now
}

test('pace: a reader takes the spare time of the event loop, and a small share of a busy one', () => {
  assert.ok(shareOf(0.5) > 0.4)
  assert.ok(shareOf(0.9) > 0.3)
  const busy = shareOf(1)
  assert.ok(busy > 0.005 && busy < 0.015, String(busy))
})
