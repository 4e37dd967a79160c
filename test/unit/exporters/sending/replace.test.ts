/** A sender whose sink is replaced while events come: nothing is lost, the order stays, the accounting balances at every moment. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ChainConfig } from '../../../../exporters/sending/config.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { FakeExporter, gate, lines, numbers, retryable } from '../support/lines.ts'

const BASE: ChainConfig = {
  queue: { max_bytes: 10_000, max_events: 100, when_full: 'drop_newest' },
  batch: { max_events: 4, max_bytes: 1000, max_wait: 0 },
  retry: { initial: 100, max: 1000 },
  timeout: 60_000,
}

async function rig(exporter: FakeExporter, config = BASE): Promise<{ sender: Sender; clock: FakeClock }> {
  const clock = new FakeClock()
  const sender = new Sender('test', exporter, config, { clock, random: () => 0.5 })
  await sender.start()
  return { sender, clock }
}

async function replace(sender: Sender, exporter: FakeExporter, config = BASE): Promise<void> {
  await sender.pause(1000)
  await sender.retire()
  await sender.resume({ exporter, config })
}

test('replace: the new sink gets what the old one did not take, in order, and the old one is closed', async () => {
  const old = new FakeExporter((_, call) => (call < 2 ? { status: 'delivered' } : retryable()))
  const { sender, clock } = await rig(old)
  for (let id = 0; id < 40; id += 4) await Promise.resolve(sender.offer(lines(id, 4)))
  await settle()
  const next = new FakeExporter()
  await replace(sender, next)
  await settle()
  assert.deepEqual([...old.ids, ...next.ids], numbers(0, 40))
  assert.ok(old.ids.length > 0 && next.ids.length > 0)
  assert.equal(old.stops, 1)
  assert.equal(sender.exporter, next)
  const { accepted, delivered, retries } = sender.accounting()
  assert.deepEqual([accepted, delivered, retries, sender.imbalance()], [40, 40, 1, 0])
  await clock.turn(10_000)
  assert.deepEqual(clock.pending, [], 'timers are left')
})

test('replace: a call that does not end is aborted, and its events are sent again and counted as possible duplicates', async () => {
  const { answer, open } = gate()
  const { sender, clock } = await rig(new FakeExporter(answer))
  void sender.offer(lines(0, 4))
  await settle()
  const paused = sender.pause(1000)
  void sender.offer(lines(4, 4))
  await clock.turn(999)
  assert.equal(sender.accounting().heldEvents, 8)
  await clock.turn(1)
  await paused
  const next = new FakeExporter()
  await sender.retire()
  await sender.resume({ exporter: next, config: BASE })
  await settle()
  assert.deepEqual(next.ids, numbers(0, 8))
  assert.equal(sender.stats().duplicatesPossible, 4)
  open({ status: 'delivered' })
  await settle()
  assert.equal(sender.accounting().delivered, 8)
})

test('replace: paused and resumed with the same sink, the sender continues as before', async () => {
  const exporter = new FakeExporter((_, call) => (call === 0 ? retryable() : { status: 'delivered' }))
  const { sender } = await rig(exporter)
  void sender.offer(lines(0, 4))
  await settle()
  await sender.pause(1000)
  void sender.offer(lines(4, 4))
  await settle()
  assert.deepEqual(exporter.ids, [])
  await sender.resume()
  await settle()
  assert.deepEqual(exporter.ids, numbers(0, 8))
  assert.equal(exporter.stops, 0)
})

test('replace: a smaller queue holds what the larger one held, and takes new events when there is room', async () => {
  const { sender } = await rig(new FakeExporter(() => retryable()))
  void sender.offer(lines(0, 40))
  await settle()
  const next = new FakeExporter(gate().answer)
  await replace(sender, next, { ...BASE, queue: { ...BASE.queue, max_events: 10 } })
  void sender.offer(lines(40, 4))
  const { heldEvents, dropped } = sender.accounting()
  assert.deepEqual([heldEvents, dropped.queue_full, sender.imbalance()], [40, 4, 0])
  assert.equal(sender.stats().queueLimitEvents, 10)
})

test('replace: own counters of the sink never fall', async () => {
  const counted = (count: number): FakeExporter => Object.assign(new FakeExporter(), { counters: { rotations: count } })
  const { sender } = await rig(counted(3))
  assert.deepEqual(sender.ownCounters, { rotations: 3 })
  await replace(sender, counted(0))
  assert.deepEqual(sender.ownCounters, { rotations: 3 })
  await replace(sender, counted(2))
  assert.deepEqual(sender.ownCounters, { rotations: 5 })
})

test('replace: a stop while the sink is paused delivers held events', async () => {
  const exporter = new FakeExporter()
  const { sender } = await rig(exporter)
  await sender.pause(1000)
  void sender.offer(lines(0, 8))
  await sender.stop(1000)
  assert.deepEqual(exporter.ids, numbers(0, 8))
  assert.equal(exporter.stops, 1)
  await sender.resume({ exporter: new FakeExporter(), config: BASE })
  assert.equal(sender.exporter, exporter, 'a stopped sender took a new sink')
})

test('replace: random reloads over failing sinks deliver every event in order, or count it, at every moment', async () => {
  const act = fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 9 }).map((events) => ({ events })) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 3000 }).map((ms) => ({ ms })) },
    { weight: 2, arbitrary: fc.record({ fails: fc.integer({ min: 0, max: 3 }), swap: fc.boolean() }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 40 }), async (acts) => {
      const seen: number[] = []
      const sink = (fails: number): FakeExporter => {
        const exporter: FakeExporter = new FakeExporter((_, call) =>
          call < fails ? retryable({ taken: call % 3 }) : { status: 'delivered' },
        )
        exporter.ids.push = (...ids) => seen.push(...ids)
        return exporter
      }
      const { sender, clock } = await rig(sink(2))
      let offered = 0
      const check = (): void => {
        const { accepted, delivered, heldEvents, dropped } = sender.accounting()
        assert.equal(accepted, offered)
        assert.equal(delivered + heldEvents + dropped.queue_full, offered)
        assert.equal(sender.imbalance(), 0)
      }
      for (const one of acts) {
        if ('events' in one) {
          void sender.offer(lines(offered, one.events))
          offered += one.events
        } else if ('ms' in one) await clock.turn(one.ms)
        else {
          await sender.pause(1000)
          check()
          if (one.swap) await sender.retire()
          await sender.resume(one.swap ? { exporter: sink(one.fails), config: BASE } : undefined)
        }
        check()
      }
      const stopped = sender.stop(60_000)
      await settle()
      await clock.turn(60_000)
      await stopped
      check()
      assert.deepEqual(
        seen,
        seen.toSorted((a, b) => a - b),
      )
      const { delivered, dropped } = sender.accounting()
      assert.equal(new Set(seen).size, delivered)
      assert.equal(delivered + dropped.queue_full, offered)
    }),
    { numRuns: 200 },
  )
})
