import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { IdleMemory } from '../../../../collector/host/heap.ts'

const MIB = 1 << 20

/**
 * Polls with these numbers of ring bytes between two polls; returns the numbers of the polls that collected. Each byte of the ring becomes
 * `garbage` bytes of the heap, which has 10 MiB besides.
 */
async function collected(looks: readonly number[], garbage = 100): Promise<number[]> {
  const at: number[] = []
  let now = 0
  let read = 0
  let collectedBytes = 0
  const collect = async (): Promise<void> => {
    at.push(now)
    collectedBytes = read
  }
  const memory = new IdleMemory(collect, () => 10 * MIB + garbage * (read - collectedBytes))
  for (const bytes of looks) {
    memory.look((read += bytes))
    await setImmediate()
    now++
  }
  return at
}

const times = (count: number, bytes: number): number[] => Array.from({ length: count }, () => bytes)

test('idle memory: collects once after the start and once after each burst, after four idle polls', async () => {
  assert.deepEqual(await collected([...times(6, 0), 100_000, ...times(3, 10), 100_000, ...times(12, 10)]), [3, 14])
})

test('idle memory: the collection after the start is thorough, later ones are not', async () => {
  const thorough: boolean[] = []
  let heap = 0
  const memory = new IdleMemory(
    async (whole) => void thorough.push(whole),
    () => (heap += 10 * MIB),
  )
  let read = 0
  for (const bytes of [...times(6, 0), 100_000, ...times(6, 0), 100_000, ...times(6, 0)]) {
    memory.look((read += bytes))
    await setImmediate()
  }
  assert.deepEqual(thorough, [true, false, false])
})

test('idle memory: does not collect while there is work, or after little work', async () => {
  assert.deepEqual(await collected(times(40, 1_000_000)), [])
  assert.deepEqual(await collected(times(40, 60_000)), [3])
})

test('idle memory: adds up the bytes read between two polls', async () => {
  assert.deepEqual(await collected(times(10, 100_000)), [])
})

test('idle memory: one burst with little garbage starts no collection, several do', async () => {
  const burst = [1_000_000, ...times(9, 0)]
  assert.deepEqual(await collected([...times(10, 0), ...burst, ...burst, ...burst, ...burst, ...burst], 1), [3, 54])
})
