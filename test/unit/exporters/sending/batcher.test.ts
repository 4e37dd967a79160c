import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batcher } from '../../../../exporters/sending/batcher.ts'
import { InFlightBatch } from '../../../../exporters/buffer/in-flight-batch.ts'
import { Queue } from '../../../../exporters/buffer/queue.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { lines } from '../support/lines.ts'

interface Rig {
  readonly clock: FakeClock
  readonly inFlightBatches: Set<InFlightBatch>
  readonly push: (seq: number, count: number) => void
  readonly batcher: Batcher
  readonly got: number[][]
}

/** Something is under way unless `idle`, so that batches are to be full. */
function make({ idle = false, maxEvents = 4 } = {}): Rig {
  const clock = new FakeClock()
  const queue = new Queue(10_000, 100)
  const inFlightBatches = new Set<InFlightBatch>(idle ? [] : [new InFlightBatch([])])
  const batcher = new Batcher(queue, { max_events: maxEvents, max_bytes: 1000, max_wait: 200 }, clock, inFlightBatches)
  const got: number[][] = []
  const pull = async (): Promise<void> => {
    for (let inFlightBatch = await batcher.next(); inFlightBatch !== undefined; inFlightBatch = await batcher.next()) {
      got.push(inFlightBatch.held.map(({ part }) => part.firstSeq))
    }
    got.push([])
  }
  void pull()
  const push = (seq: number, count: number): void => {
    queue.push({ part: lines(seq, count, 10), acceptedMs: clock.nowMs() })
    batcher.notify()
  }
  return { clock, inFlightBatches, push, batcher, got }
}

test('batcher: a full batch goes at once', async () => {
  const { push, got } = make()
  push(1, 2)
  push(3, 2)
  await settle()
  assert.deepEqual(got, [[1, 3]])
})

test('batcher: a part that does not fit any more begins the next batch', async () => {
  const { push, got, clock } = make()
  push(1, 3)
  push(4, 3)
  await settle()
  assert.deepEqual(got, [[1]])
  await clock.turn(200)
  assert.deepEqual(got, [[1], [4]])
})

test('batcher: a batch that is not full goes when its first event has waited, not later', async () => {
  const { push, got, clock } = make()
  push(1, 1)
  await clock.turn(150)
  push(2, 1)
  await clock.turn(49)
  assert.deepEqual(got, [])
  await clock.turn(1)
  assert.deepEqual(got, [[1, 2]])
})

test('batcher: no timer runs while nothing waits', async () => {
  const { clock, push } = make()
  await settle()
  assert.deepEqual(clock.pending, [])
  push(1, 1)
  await settle()
  assert.deepEqual(clock.pending, [200])
})

test('batcher: bytes fill a batch too', async () => {
  const clock = new FakeClock()
  const queue = new Queue(10_000, 100)
  const batcher = new Batcher(queue, { max_events: 100, max_bytes: 25, max_wait: 200 }, clock, new Set())
  for (const seq of [1, 2, 3]) queue.push({ part: lines(seq, 1, 10), acceptedMs: 0 })
  assert.equal((await batcher.next())?.held.length, 2)
})

test('batcher: a flush sends what there is, once', async () => {
  const { push, got, batcher } = make()
  push(1, 1)
  await settle()
  batcher.flush()
  await settle()
  push(2, 1)
  await settle()
  assert.deepEqual(got, [[1]])
})

test('batcher: after the end it hands out the rest, then nothing', async () => {
  const { push, got, batcher } = make()
  push(1, 1)
  batcher.end()
  await settle()
  assert.deepEqual(got, [[1], []])
})

test('batcher: while nothing is under way an eighth of a batch goes at once, less waits', async () => {
  const { push, got, clock } = make({ idle: true, maxEvents: 40 })
  push(1, 4)
  await settle()
  assert.deepEqual(got, [])
  push(5, 1)
  await settle()
  assert.deepEqual(got, [[1, 5]])
  push(6, 4)
  await clock.turn(200)
  assert.deepEqual(got, [[1, 5], [6]])
})

test('batcher: an eighth of the bytes is enough too', async () => {
  const { push, got } = make({ idle: true, maxEvents: 1000 })
  push(1, 13)
  await settle()
  assert.deepEqual(got, [[1]])
})

test('batcher: what waits for a full batch goes when nothing is under way any more', async () => {
  const { push, got, inFlightBatches, batcher } = make({ maxEvents: 40 })
  push(1, 30)
  await settle()
  assert.deepEqual(got, [])
  inFlightBatches.clear()
  batcher.notify()
  await settle()
  assert.deepEqual(got, [[1]])
})
