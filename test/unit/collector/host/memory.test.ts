import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryGuard } from '../../../../collector/host/memory.ts'

test('memory: each limit is reported once when exceeded, and once when the use is a twentieth below it', () => {
  const reported: string[] = []
  let rss = 0
  const guard = new MemoryGuard(
    { soft_limit: 1000, hard_limit: 2000 },
    (pressure, bytes) => void reported.push(`${pressure} ${bytes}`),
    () => rss,
  )
  for (rss of [900, 1000, 1001, 1500, 960, 951, 950, 2001, 1950, 1900, 990, 10, 2500, 10]) guard.look()
  assert.deepEqual(reported, ['soft 1001', 'none 950', 'hard 2001', 'soft 1900', 'none 10', 'hard 2500', 'none 10'])
  assert.equal(guard.pressure, 'none')
})

test('memory: measures the process by default', () => {
  const reported: string[] = []
  new MemoryGuard({ soft_limit: 1, hard_limit: 2 ** 50 }, (pressure) => void reported.push(pressure)).look()
  assert.deepEqual(reported, ['soft'])
})

test('memory: a failed measurement changes nothing', () => {
  const reported: string[] = []
  let rss = (): number => 1001
  const guard = new MemoryGuard(
    { soft_limit: 1000, hard_limit: 2000 },
    (pressure) => void reported.push(pressure),
    () => rss(),
  )
  guard.look()
  rss = () => {
    throw new Error('EMFILE')
  }
  guard.look()
  assert.deepEqual([reported, guard.pressure], [['soft'], 'soft'])
})
