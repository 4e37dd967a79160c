import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Queue, RESERVE } from '../../../../exporters/buffer/queue.ts'
import type { QueuedPart } from '../../../../exporters/buffer/queue.ts'
import { lines, numbers } from '../support/lines.ts'

const held = (seq: number, count = 1, lineBytes = 10): { part: ReturnType<typeof lines>; acceptedMs: number } => ({
  part: lines(seq, count, lineBytes),
  acceptedMs: seq,
})

test('queue: frees space when settled, not when taken', () => {
  const queue = new Queue(1000, 2)
  assert.ok(queue.push(held(1, 2)))
  assert.equal(queue.take(10, 1000).length, 1)
  assert.equal(queue.push(held(3)), false)
  queue.settle(1, 10)
  assert.ok(queue.push(held(3)))
})

test('queue: is bounded in bytes as well as in events', () => {
  const queue = new Queue(25, 100)
  assert.ok(queue.push(held(1)) && queue.push(held(2)))
  assert.equal(queue.push(held(3)), false)
  assert.equal(queue.bytes, 20)
})

test('queue: does not accept a part that could never fit', () => {
  const queue = new Queue(25, 2)
  assert.ok(queue.admits(lines(1, 2, 10)))
  assert.ok(!queue.admits(lines(1, 1, 26)))
  assert.ok(!queue.admits(lines(1, 3, 8)))
})

test('queue: the oldest waiting part is dropped, never one in flight', () => {
  const queue = new Queue(1000, 10)
  queue.push(held(1))
  queue.push(held(2))
  queue.take(1, 1000)
  assert.equal(queue.dropOldest()?.firstSeq, 2)
  assert.equal(queue.dropOldest(), undefined)
  assert.equal(queue.events, 1)
})

test('queue: loss records use the reserve when the queue is full, up to its end, and are not dropped', () => {
  const queue = new Queue(1000, 2)
  const losses = (seq: number): QueuedPart => ({ ...held(seq), losses: true })
  assert.ok(queue.push(losses(1)) && queue.push(held(2)))
  assert.equal(queue.push(held(3)), false)
  for (let i = 0; i < RESERVE.events; i++) assert.ok(queue.push(losses(4 + i)))
  assert.equal(queue.push(losses(0)), false, 'the reserve is bounded')
  assert.equal(queue.dropOldest()?.firstSeq, 2)
  assert.equal(queue.dropOldest(), undefined)
  assert.equal(queue.recount(), RESERVE.events + 1)
  assert.deepEqual(
    queue.take(3, 1000).map(({ part }) => part.firstSeq),
    [1, 4, 5],
  )
})

test('queue: a first part larger than the batch is taken alone', () => {
  const queue = new Queue(1000, 10)
  queue.push(held(1, 3))
  queue.push(held(4))
  assert.deepEqual(
    queue.take(2, 5).map(({ part }) => part.firstSeq),
    [1],
  )
})

test('queue: keeps order and counts through thousands of parts, also after it has moved its slots down', () => {
  const queue = new Queue(1 << 20, 5000)
  for (let seq = 0; seq < 5000; seq++) assert.ok(queue.push(held(seq, 1, 20)))
  for (let seq = 0; seq < 5000; seq += 50) {
    assert.deepEqual(
      queue.take(50, 1 << 20).map(({ part }) => part.firstSeq),
      numbers(seq, seq + 50),
    )
    queue.settle(50, 1000)
    assert.deepEqual([queue.waitingEvents, queue.recount(), queue.events], [4950 - seq, 4950 - seq, 4950 - seq])
  }
  assert.equal(queue.bytes, 0)
})

type Step = readonly ['push' | 'take' | 'settle' | 'drop', number]

test('queue: keeps bounds, order and counts like a plain list, for any operations', () => {
  const step: fc.Arbitrary<Step> = fc.tuple(
    fc.constantFrom('push', 'take', 'settle', 'drop'),
    fc.integer({ min: 1, max: 5 }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const queue = new Queue(220, 12)
      let waiting: number[] = []
      let flying: number[] = []
      let seq = 0
      for (const [what, n] of steps) {
        if (what === 'push') {
          const fits = waiting.length + flying.length + n <= 12 && (waiting.length + flying.length + n) * 20 <= 220
          assert.equal(queue.push(held(seq, n, 20)), fits)
          if (fits) for (let i = 0; i < n; i++) waiting.push(seq)
          if (fits) seq++
        } else if (what === 'take') {
          const taken = queue.take(n, 1000)
          for (const { part } of taken) {
            assert.equal(part.firstSeq, waiting[0])
            flying.push(...waiting.filter((one) => one === part.firstSeq))
            waiting = waiting.filter((one) => one !== part.firstSeq)
          }
        } else if (what === 'settle') {
          const settled = Math.min(n, flying.length)
          flying = flying.slice(settled)
          queue.settle(settled, settled * 20)
        } else {
          assert.equal(queue.dropOldest()?.firstSeq, waiting[0])
          waiting = waiting.filter((one) => one !== waiting[0])
        }
        assert.deepEqual([queue.waitingEvents, queue.events], [waiting.length, waiting.length + flying.length])
        assert.deepEqual([queue.waitingBytes, queue.bytes], [waiting.length * 20, queue.events * 20])
        assert.equal(queue.recount(), waiting.length)
        assert.ok(queue.events <= 12 && queue.bytes <= 220)
      }
    }),
    { numRuns: 60 },
  )
})
