/** Boot time → wall time: exact, steady, and correct again after the clock was set or the machine was suspended. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { WallClock } from '../../../../collector/process/clock.ts'

const NSEC = 1_000_000_000n

test('clock: is the sum of boot time and offset, to the nanosecond, at any uptime', () => {
  const offset = fc.bigInt({ min: -(10n ** 13n), max: 2n ** 62n })
  fc.assert(
    fc.property(offset, fc.bigInt({ min: 0n, max: 2n ** 61n }), (by, bootNs) => {
      const clock = new WallClock(() => by)
      const want = by + bootNs
      for (const { sec, nsec } of [clock.atNs(bootNs), clock.at(Number(bootNs / NSEC), Number(bootNs % NSEC))]) {
        assert.ok(Number.isInteger(nsec) && nsec >= 0 && nsec < 1_000_000_000, `nsec ${nsec}`)
        assert.equal(BigInt(sec) * NSEC + BigInt(nsec), want)
      }
    }),
  )
})

for (const [offset, sec, nsec, want] of [
  [0n, 5, 999_999_999, { sec: 5, nsec: 999_999_999 }],
  [1n, 5, 999_999_999, { sec: 6, nsec: 0 }],
  [999_999_999n, 0, 1, { sec: 1, nsec: 0 }],
  [999_999_999n, 0, 999_999_999, { sec: 1, nsec: 999_999_998 }],
  [-5n * NSEC, 5, 7, { sec: 0, nsec: 7 }],
  [-1n, 5, 0, { sec: 4, nsec: 999_999_999 }],
] as const) {
  test(`clock: ${sec}.${nsec} with offset ${offset} is ${want.sec}.${want.nsec}`, () =>
    assert.deepEqual(new WallClock(() => offset).at(sec, nsec), want))
}

test('clock: the offset stays while it changes by less than a millisecond, so that times do not jitter', () => {
  let offset = 100n * NSEC
  const clock = new WallClock(() => offset)
  const steps: ReadonlyArray<readonly [move: bigint, nsec: number]> = [
    [999_999n, 0],
    [-999_999n, 0],
    [1_000_000n, 1_000_000],
    [1_999_999n, 1_000_000],
    [2_000_000n, 2_000_000],
    [0n, 0],
  ]
  for (const [move, nsec] of steps) {
    offset = 100n * NSEC + move
    clock.refresh()
    assert.deepEqual(clock.at(0, 0), { sec: 100, nsec }, `${move}`)
  }
})

test('clock: does not change before the next check', () => {
  let offset = 0n
  const clock = new WallClock(() => offset)
  offset = 3600n * NSEC
  assert.equal(clock.at(1, 0).sec, 1)
  clock.refresh()
  assert.equal(clock.at(1, 0).sec, 3601)
})

test('clock: a suspend changes nothing, because boot time includes it', () => {
  // Realtime and boottime both gain the hour; the clock uses only their difference, which does not.
  const clock = new WallClock(() => 1000n * NSEC)
  const before = clock.at(50, 1)
  clock.refresh()
  const after = clock.at(50 + 3600, 1)
  assert.equal(after.sec - before.sec, 3600)
  assert.equal(after.nsec, before.nsec)
})
