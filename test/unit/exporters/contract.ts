/**
 * The suite that every exporter passes, run from `contract.test.ts` with one harness a kind.
 * Ids are reconciled: every event offered arrives, once and in order, or stands in a counter.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Exporter } from '../../../exporters/exporter.ts'
import { DEFAULT_SENDER_OPTIONS } from '../../../exporters/sending/options.ts'
import { Sender } from '../../../exporters/sending/sender.ts'
import { until } from './support/fake-clock.ts'
import { batch, lines, numbers } from './support/lines.ts'

/** One sink, fresh for each test, that can be made to fail. */
export interface Harness extends Disposable {
  readonly exporter: Exporter
  /** Numbers of all lines that the sink has, in order; throws where one is torn. */
  ids(): number[]
  /** Makes the sink fail for the next `calls` of its calls, in ways that pass by themselves. */
  fail(calls: number): void
}

const NEVER = new AbortController().signal

/** Registers the tests for one kind of exporter. */
export function contract(kind: string, make: () => Harness): void {
  test(`contract, ${kind}: names its type`, () => {
    using harness = make()
    assert.equal(harness.exporter.type, kind)
  })

  test(`contract, ${kind}: a batch of many parts arrives whole, once and in order`, async () => {
    using harness = make()
    await harness.exporter.start()
    const parts = numbers(0, 50).map((i) => lines(i * 3, 3))
    assert.deepEqual(await harness.exporter.send(batch(...parts), NEVER), { status: 'delivered' })
    assert.deepEqual(harness.ids(), numbers(0, 150))
    await harness.exporter.stop()
  })

  test(`contract, ${kind}: does not write into the bytes it is given`, async () => {
    using harness = make()
    await harness.exporter.start()
    const part = lines(0, 3)
    const before = Buffer.from(part.bytes).toString('hex')
    await harness.exporter.send(batch(part), NEVER)
    assert.equal(Buffer.from(part.bytes).toString('hex'), before)
    await harness.exporter.stop()
  })

  test(`contract, ${kind}: an aborted send settles, and what it did not take can be sent again`, async () => {
    using harness = make()
    await harness.exporter.start()
    const sent = batch(lines(0, 5))
    const outcome = await harness.exporter.send(sent, AbortSignal.abort())
    assert.equal(outcome.status, 'retryable')
    assert.deepEqual(await harness.exporter.send(sent, NEVER), { status: 'delivered' })
    assert.deepEqual(harness.ids(), numbers(0, 5))
    await harness.exporter.stop()
  })

  test(`contract, ${kind}: stopping twice is fine, and a send after it is an outcome, not an exception`, async () => {
    using harness = make()
    await harness.exporter.start()
    await harness.exporter.stop()
    await harness.exporter.stop()
    const outcome = await harness.exporter.send(batch(lines(0, 1)), NEVER)
    assert.ok(outcome.status === 'retryable' || outcome.status === 'hold')
    assert.deepEqual(harness.ids(), [])
  })

  test(`contract, ${kind}: can be stopped without having been started, and by await using`, async () => {
    using harness = make()
    await harness.exporter.stop()
    using other = make()
    {
      await using exporter = other.exporter
      await exporter.start()
    }
    assert.equal((await other.exporter.send(batch(lines(0, 1)), NEVER)).status, 'retryable')
  })

  test(`contract, ${kind}: behind a sender, whenever the sink fails, no event is lost, doubled or uncounted`, async () => {
    const scenario = fc.array(fc.record({ events: fc.integer({ min: 1, max: 40 }), fail: fc.nat(3) }), {
      minLength: 1,
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(scenario, async (steps) => {
        using harness = make()
        const batching = { maxEvents: 16, maxBytes: 4096, maxWaitMs: 0 }
        const options = { ...DEFAULT_SENDER_OPTIONS, batch: batching, retry: { initialMs: 0, maxMs: 0 } }
        const sender = new Sender(kind, harness.exporter, options)
        await sender.start()
        let seq = 0
        for (const { events, fail } of steps) {
          harness.fail(fail)
          sender.offer(lines(seq, events))
          seq += events
          assert.equal(sender.imbalance(), 0)
        }
        await until('all is delivered', () => sender.books().heldEvents === 0)
        await sender.stop(1000)
        assert.equal(sender.imbalance(), 0)
        assert.equal(sender.books().delivered, seq)
        assert.deepEqual(harness.ids(), numbers(0, seq))
      }),
      { numRuns: 40 },
    )
  })
}
