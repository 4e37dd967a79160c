import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batcher } from '../../../../exporters/sending/batcher.ts'
import { InFlightBatch } from '../../../../exporters/buffer/in-flight-batch.ts'
import type { BufferConfig } from '../../../../exporters/buffer/buffer.ts'
import { Counters } from '../../../../exporters/buffer/counters.ts'
import { MemoryBuffer } from '../../../../exporters/buffer/memory-buffer.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { lines } from '../support/lines.ts'

interface Rig {
  readonly clock: FakeClock
  readonly buffer: MemoryBuffer
  readonly push: (seq: number, count: number) => void
  readonly batcher: Batcher
  readonly got: number[][]
}

/** A request is in flight unless `idle`, so that batches wait until they are full. */
function make({ idle = false, maxEvents = 4 } = {}): Rig {
  const clock = new FakeClock()
  const batch = { max_events: maxEvents, max_bytes: 1000, max_wait: 200 }
  const buffer = bufferFor(batch, clock, () => batcher.notify())
  if (!idle) buffer.inFlight.add(new InFlightBatch([]))
  const batcher = new Batcher(buffer, batch, clock)
  const got: number[][] = []
  const pull = async (): Promise<void> => {
    for (let inFlightBatch = await batcher.next(); inFlightBatch !== undefined; inFlightBatch = await batcher.next()) {
      got.push(inFlightBatch.held.map(({ part }) => part.firstSeq))
    }
    got.push([])
  }
  void pull()
  const push = (seq: number, count: number): void => {
    buffer.put(lines(seq, count, 10), false)
  }
  return { clock, buffer, push, batcher, got }
}

function bufferFor(batch: BufferConfig['batch'], clock: FakeClock, onReady: () => void): MemoryBuffer {
  const queue = { max_bytes: 10_000, max_events: 100, when_full: 'block' } as const
  return new MemoryBuffer({ queue, batch, spool: undefined }, { counters: new Counters(), clock, onReady })
}

test('batcher: a full batch is sent at once', async () => {
  const { push, got } = make()
  push(1, 2)
  push(3, 2)
  await settle()
  assert.deepEqual(got, [[1, 3]])
})

test('batcher: a part that does not fit begins the next batch', async () => {
  const { push, got, clock } = make()
  push(1, 3)
  push(4, 3)
  await settle()
  assert.deepEqual(got, [[1]])
  await clock.turn(200)
  assert.deepEqual(got, [[1], [4]])
})

test('batcher: a partial batch is sent once its first event has waited max_wait', async () => {
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
  const batch = { max_events: 100, max_bytes: 25, max_wait: 200 }
  const buffer = bufferFor(batch, clock, () => {})
  const batcher = new Batcher(buffer, batch, clock)
  for (const seq of [1, 2, 3]) buffer.put(lines(seq, 1, 10), false)
  assert.equal((await batcher.next())?.held.length, 2)
})

test('batcher: a flush sends waiting events, once', async () => {
  const { push, got, batcher } = make()
  push(1, 1)
  await settle()
  batcher.flush()
  await settle()
  push(2, 1)
  await settle()
  assert.deepEqual(got, [[1]])
})

test('batcher: after the end it returns the rest, then nothing', async () => {
  const { push, got, batcher } = make()
  push(1, 1)
  batcher.end()
  await settle()
  assert.deepEqual(got, [[1], []])
})

test('batcher: without a request in flight an eighth of a batch is sent at once, less waits', async () => {
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

test('batcher: a partial batch is sent once no request is in flight any more', async () => {
  const { push, got, buffer, batcher } = make({ maxEvents: 40 })
  push(1, 30)
  await settle()
  assert.deepEqual(got, [])
  buffer.inFlight.clear()
  batcher.notify()
  await settle()
  assert.deepEqual(got, [[1]])
})
