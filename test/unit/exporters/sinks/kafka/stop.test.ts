/** A batch that is partly acknowledged when the agent stops: its events are counted one by one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Described } from '../../../../../exporters/contract/described.ts'
import { Sender } from '../../../../../exporters/sending/sender.ts'
import type { KafkaConfig } from '../../../../../exporters/sinks/kafka/client/connection.ts'
import type { KafkaFault } from '../../../../../exporters/sinks/kafka/client/faults.ts'
import { settle } from '../../support/fake-clock.ts'
import { describedLines, idsOf, numbers } from '../../support/lines.ts'
import { kafkaConfig, kafkaExporter } from './support/config.ts'
import { fault, FakeClient } from './support/fake-client.ts'
import type { Call } from './support/fake-client.ts'

interface Ended {
  readonly stored: readonly number[]
  readonly delivered: number
  readonly shutdown: number
}

/** Offers 64 events in one batch; stops without grace when `plan` has let enough requests through. */
async function stopped(
  client: FakeClient,
  config: Partial<KafkaConfig>,
  plan: (call: Call, stop: () => void) => Promise<KafkaFault | undefined>,
): Promise<Ended> {
  const exporter = kafkaExporter(config, { makeClient: () => client })
  const { queue, batch, retry } = kafkaConfig()
  const sender = new Sender('kafka', exporter, {
    queue,
    batch: { ...batch, max_events: 64, max_wait: 0 },
    retry,
    timeout: 60_000,
  })
  const stopping = Promise.withResolvers<Promise<void>>()
  client.plan = (call) => plan(call, () => stopping.resolve(sender.stop(0)))
  await sender.start()
  const abouts = numbers(0, 64).map((id) => ({ type: 'process_kprobe' as const, policy: `policy-${id}` }))
  const events: Described = { ...describedLines(0, 64), abouts }
  void sender.offer(events)
  await stopping.promise
  // Work that still runs gets a chance to do harm.
  for (let i = 0; i < 50; i++) await settle()
  assert.equal(sender.imbalance(), 0)
  const { delivered, dropped } = sender.accounting()
  const partitions = [...(client.topics.get('events') ?? [])].flat()
  const stored = idsOf(partitions.map(({ value }) => `${value.toString()}\n`).join('')).toSorted((a, b) => a - b)
  return { stored, delivered, shutdown: dropped.shutdown }
}

test('kafka: a batch that is being split at the stop: acknowledged events count as delivered, the rest as lost', async () => {
  const client = new FakeClient()
  let taken = 0
  const { stored, delivered, shutdown } = await stopped(client, {}, async ({ records }, stop) => {
    if (records.length > 8) return fault('too_large')
    // The answer to the third part comes after the stop.
    if (++taken === 3) stop()
    await settle()
    return undefined
  })
  assert.deepEqual(stored, numbers(0, 24), 'the part in flight at the stop is the last one that is sent')
  assert.deepEqual([delivered, shutdown], [24, 40])
})

test('kafka: partitions without an answer at the stop do not make acknowledged events of others lost', async () => {
  const client = new FakeClient({ events: 4 })
  let asked = 0
  const { stored, delivered, shutdown } = await stopped(client, { key: 'policy' }, async ({ partition }, stop) => {
    if (++asked === 4) stop()
    return partition % 2 === 0 ? undefined : new Promise(() => undefined)
  })
  assert.ok(stored.length > 0 && stored.length < 64, `${stored.length} stored`)
  assert.deepEqual([delivered, shutdown], [stored.length, 64 - stored.length])
})

for (const kind of ['retry', 'config'] as const) {
  test(`kafka: events acknowledged before a wait after a ${kind} fault are delivered if the stop comes during the wait`, async () => {
    const client = new FakeClient({ events: 4 })
    let asked = 0
    const { stored, delivered, shutdown } = await stopped(client, { key: 'policy' }, ({ partition }, stop) => {
      if (++asked === 4) setImmediate(stop)
      return Promise.resolve(partition % 2 === 0 ? undefined : fault(kind))
    })
    assert.ok(stored.length > 0 && stored.length < 64, `${stored.length} stored`)
    assert.deepEqual([delivered, shutdown], [stored.length, 64 - stored.length])
  })
}
