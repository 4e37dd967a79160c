import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SequenceTracker } from '../../../../collector/ingest/sequence-tracker.ts'

const numbers = fc.array(fc.tuple(fc.nat(7), fc.boolean()), { maxLength: 300 })

test('sequence: gaps are the missing numbers below the highest of each CPU, for any order of arrival', () => {
  fc.assert(
    fc.property(numbers, fc.infiniteStream(fc.nat(3)), (taken, shuffle) => {
      const next = new Map<number, number>()
      const seen: Array<readonly [cpu: number, seq: number]> = []
      const highest = new Map<number, number>()
      for (const [cpu, arrives] of taken) {
        const seq = next.get(cpu) ?? 0
        next.set(cpu, seq + 1)
        if (!arrives) continue
        seen.push([cpu, seq])
        highest.set(cpu, seq)
      }
      const lost = [...highest].reduce(
        (sum, [cpu, last]) => sum + last + 1 - seen.filter(([other]) => other === cpu).length,
        0,
      )
      // Records overtake each other by a few positions.
      for (let i = 0; i + 3 < seen.length; i++) {
        const by = shuffle.next().value ?? 0
        const [here, there] = [seen[i], seen[i + by]]
        if (here !== undefined && there !== undefined) [seen[i], seen[i + by]] = [there, here]
      }
      const tracker = new SequenceTracker()
      for (const [cpu, seq] of seen) tracker.see(cpu, seq)
      assert.equal(tracker.received, seen.length)
      assert.equal(tracker.gaps(), lost)
    }),
  )
})

test('sequence: CPUs that start late, numbers beyond 32 bits', () => {
  const tracker = new SequenceTracker()
  tracker.see(300, 0)
  tracker.see(2, 0)
  tracker.see(2, 2 ** 40)
  assert.equal(tracker.received, 3)
  assert.equal(tracker.gaps(), 2 ** 40 - 1)
})

test('sequence: nothing seen, nothing missing', () => {
  assert.deepEqual([new SequenceTracker().received, new SequenceTracker().gaps()], [0, 0])
})

test('sequence: counts records after a higher number of their CPU', () => {
  const tracker = new SequenceTracker()
  for (const [cpu, seq] of [
    [0, 0],
    [0, 3],
    [1, 0],
    [0, 1],
    [0, 4],
    [0, 2],
  ] as const) {
    tracker.see(cpu, seq)
  }
  assert.deepEqual([tracker.late, tracker.gaps()], [2, 0])
})
