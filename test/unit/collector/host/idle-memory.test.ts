import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdleMemory } from '../../../../collector/host/idle-memory.ts'

/** Polls with these numbers of ring bytes between two polls; returns the numbers of the polls that collected. */
function collected(looks: readonly number[]): number[] {
  const at: number[] = []
  let now = 0
  let read = 0
  const memory = new IdleMemory(() => void at.push(now))
  for (const bytes of looks) {
    memory.look((read += bytes))
    now++
  }
  return at
}

const times = (count: number, bytes: number): number[] => Array.from({ length: count }, () => bytes)

test('idle memory: collects once after the start and once after each burst, after four idle polls', () => {
  assert.deepEqual(collected([...times(6, 0), 100_000, ...times(3, 10), 100_000, ...times(12, 10)]), [3, 14])
})

test('idle memory: does not collect while there is work, or after little work', () => {
  assert.deepEqual(collected(times(40, 1_000_000)), [])
  assert.deepEqual(collected(times(40, 60_000)), [3])
})

test('idle memory: adds up the bytes read between two polls', () => {
  const at: number[] = []
  const memory = new IdleMemory(() => void at.push(1))
  for (let look = 1; look <= 10; look++) memory.look(look * 100_000)
  assert.deepEqual(at, [])
})
