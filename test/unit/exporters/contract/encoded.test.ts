import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InFlightBatch } from '../../../../exporters/buffer/in-flight-batch.ts'
import { batchOf, slice, spanOf, spanOfSome, split } from '../../../../exporters/contract/encoded.ts'
import type { Encoded } from '../../../../exporters/contract/exporter.ts'
import { describedLines, idsOf, lines, numbers } from '../support/lines.ts'

const textOf = (part: Encoded): string => Buffer.from(part.bytes).toString()

/** Invariants of any Encoded. */
function sound(part: Encoded): void {
  assert.equal(part.ends.length, part.count)
  assert.equal(part.ends.at(-1) ?? 0, part.bytes.length)
  assert.deepEqual(idsOf(textOf(part)), numbers(part.firstSeq, part.firstSeq + part.count))
  for (const end of part.ends) assert.equal(part.bytes[end - 1], 0x0a)
}

test('split: a value that fits stays the same object, without a copy', () => {
  const whole = lines(1, 3)
  assert.deepEqual(split(whole, whole.bytes.length, 3), [whole])
  assert.equal(split(whole, whole.bytes.length, 3)[0], whole)
})

test('split: pieces are views of the same memory', () => {
  const whole = lines(1, 3)
  assert.equal(split(whole, 1000, 1)[2]?.bytes.buffer, whole.bytes.buffer)
})

test('split: no events yield no part', () => assert.deepEqual(split(lines(1, 0), 10, 10), []))

test('split: a line larger than the bound is a piece of its own', () => {
  const parts = split(lines(1, 3, 50), 10, 10)
  assert.deepEqual(
    parts.map(({ count }) => count),
    [1, 1, 1],
  )
})

test('split: pieces are within bounds, valid, and equal the whole when joined', () => {
  const input = fc.tuple(
    fc.nat(40),
    fc.integer({ min: 9, max: 60 }),
    fc.integer({ min: 1, max: 400 }),
    fc.integer({ min: 1, max: 20 }),
  )
  fc.assert(
    fc.property(input, ([count, lineBytes, maxBytes, maxEvents]) => {
      const whole = lines(7, count, lineBytes)
      const parts = split(whole, maxBytes, maxEvents)
      parts.forEach(sound)
      for (const part of parts)
        assert.ok(part.count <= maxEvents && (part.bytes.length <= maxBytes || part.count === 1))
      assert.equal(parts.map(textOf).join(''), textOf(whole))
      const { count: sum, sizeBytes } = batchOf(parts)
      assert.deepEqual([sum, sizeBytes], [whole.count, whole.bytes.length])
    }),
  )
})

test('slice: any range is valid', () => {
  fc.assert(
    fc.property(fc.nat(20), fc.nat(20), (from, length) => {
      const part = slice(lines(5, 40), from, from + length)
      sound(part)
      assert.equal(part.count, length)
    }),
  )
})

test('in-flight batch: taking the first events in any steps removes exactly those, in order', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat(7)),
      (counts, steps) => {
        let seq = 0
        const held = counts.map((count) => ({ part: lines((seq += count) - count, count), acceptedMs: 0 }))
        const inFlightBatch = new InFlightBatch(held)
        let left = seq
        for (const step of steps) {
          const before = inFlightBatch.batch().sizeBytes
          const sum = inFlightBatch.takeHead(step)
          assert.equal(sum.events, Math.min(step, left))
          left -= sum.events
          assert.equal(inFlightBatch.count, left)
          assert.equal(inFlightBatch.batch().sizeBytes, before - sum.bytes)
          assert.deepEqual(
            inFlightBatch.batch().parts.flatMap((part) => idsOf(textOf(part))),
            numbers(seq - left, seq),
          )
        }
      },
    ),
  )
})

test('in-flight batch: only parts accepted before the limit are too old', () => {
  const inFlightBatch = new InFlightBatch([1, 2, 3].map((ms) => ({ part: lines(ms, 1), acceptedMs: ms })))
  assert.equal(inFlightBatch.olderThan(1), 0)
  assert.equal(inFlightBatch.takeHead(inFlightBatch.olderThan(3)).events, 2)
  assert.equal(inFlightBatch.takeHead(inFlightBatch.olderThan(4)).events, 1)
  assert.equal(inFlightBatch.count, 0)
})

test('span: of a batch, and of some of its events', () => {
  const batch = batchOf([lines(10, 5), describedLines(20, 5)])
  assert.deepEqual(spanOf(batch), { firstSeq: 10, lastSeq: 24 })
  assert.deepEqual(spanOfSome(batch, [7, 3]), { firstSeq: 13, lastSeq: 22 })
  assert.equal(spanOfSome(batch, [10]), undefined, 'there is no such event')
  assert.equal(spanOf(batchOf([])), undefined)
})

test('span: numbers of another run name that run, numbers of two runs have no span', () => {
  const old = { ...describedLines(500, 5), epoch: 'old' }
  assert.deepEqual(spanOf(batchOf([old])), { firstSeq: 500, lastSeq: 504, epoch: 'old' })
  assert.equal(spanOf(batchOf([old, describedLines(0, 5)])), undefined)
})
