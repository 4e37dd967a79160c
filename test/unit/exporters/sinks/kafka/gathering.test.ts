/** Format otlp_proto: many events in a record, and the effect on keys, sizes, failures and accounting. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describe } from '../../../../../exporters/contract/described.ts'
import type { Described } from '../../../../../exporters/contract/described.ts'
import { createJsonEncoder } from '../../../../../exporters/index.ts'
import type { KafkaConfig } from '../../../../../exporters/sinks/kafka/client/connection.ts'
import type { KafkaExporter } from '../../../../../exporters/sinks/kafka/exporter.ts'
import type { KafkaRecord } from '../../../../../exporters/sinks/kafka/client/record-batch.ts'
import { createOtlpEncoder } from '../../../../../exporters/encoding/otlp/encode.ts'
import { SCHEMA_URL } from '../../../../../exporters/encoding/otlp/resource.ts'
import { requestFromProtobuf, seqOf } from '../../../../support/otlp/decode.ts'
import { makeHook, makeKprobe } from '../../support/events.ts'
import { batch, numbers } from '../../support/lines.ts'
import { kafkaExporter } from './support/config.ts'
import { fault, FakeClient } from './support/fake-client.ts'
import { DEFAULT_RECORDS } from '../../../../../config/agent/exporters/otlp-records.ts'
import { version } from '../../../../../config/base/own.ts'

const NEVER = new AbortController().signal
const encoder = createOtlpEncoder({
  ...DEFAULT_RECORDS,
  epoch: 'e1',
  body: 'json',
  json: createJsonEncoder({ nodeName: 'n' }),
})
const hooks = ['a', 'b'].map((policy, id) => makeHook({ id, policy }))

/** Events `from` up to `to` (exclusive), of two policies in turn. */
function part(from: number, to: number): Described {
  const events = numbers(from, to).map((seq) => {
    const hook = hooks[seq % 2] ?? makeHook()
    return makeKprobe({ seq, hook, time: { sec: 1_790_000_000, nsec: seq * 1e6 } })
  })
  return describe(encoder.encode(events), events)
}

async function start(client: FakeClient, change: Partial<KafkaConfig> = {}): Promise<KafkaExporter> {
  const exporter = kafkaExporter({ format: 'otlp_proto', ...change }, { makeClient: () => client })
  await exporter.start()
  return exporter
}

const recordsOf = (client: FakeClient): readonly KafkaRecord[] => client.topics.get('events')?.flat() ?? []
const seqsOf = ({ value }: KafkaRecord): number[] => requestFromProtobuf(value).records.map(seqOf)

test('kafka otlp_proto: a request is one record, with the resource, and headers of its first event', async () => {
  const client = new FakeClient()
  const otlp = { ...DEFAULT_RECORDS, service_name: 'mine', resource_attributes: { team: 'sec' } }
  const exporter = await start(client, { otlp })
  assert.equal(exporter.encoding, 'otlp')
  assert.deepEqual(await exporter.send(batch(part(7, 10), part(10, 12)), NEVER), { status: 'delivered' })
  const [record, more] = recordsOf(client)
  assert.ok(record !== undefined && more === undefined)
  const headers = { 'content-type': 'application/x-protobuf', node: 'n', schema: '1', seq: 'e1-7', events: '5' }
  assert.deepEqual({ ...record.common, ...record.own }, headers)
  assert.deepEqual([record.key?.toString(), record.timestampMs], ['n', 1_790_000_000_007])
  const { resource: attributes, scope, schemaUrls } = requestFromProtobuf(record.value)
  assert.deepEqual(
    attributes.map(({ key }) => key),
    ['service.name', 'service.version', 'service.instance.id', 'host.name', 'host.id', 'team'],
  )
  assert.deepEqual(scope, { name: 'mine.events', version: version() })
  assert.deepEqual(schemaUrls, [SCHEMA_URL, SCHEMA_URL])
  assert.deepEqual(seqsOf(record), numbers(7, 12))
})

test('kafka otlp_proto: with key policy, a record for each policy', async () => {
  const client = new FakeClient()
  const exporter = await start(client, { key: 'policy' })
  await exporter.send(batch(part(0, 6)), NEVER)
  assert.deepEqual(
    recordsOf(client).map((record) => [record.key?.toString(), seqsOf(record), record.own['seq']]),
    [
      ['a', [0, 2, 4], 'e1-0'],
      ['b', [1, 3, 5], 'e1-1'],
    ],
  )
})

test('kafka otlp_proto: events too large for one request are several records, in order', async () => {
  const client = new FakeClient()
  const exporter = await start(client, { max_request_size: 8 << 10 })
  assert.deepEqual(await exporter.send(batch(part(0, 40)), NEVER), { status: 'delivered' })
  const records = recordsOf(client)
  assert.ok(records.length > 3 && records.every(({ value }) => value.length <= 8 << 10), `${records.length}`)
  assert.deepEqual(records.flatMap(seqsOf), numbers(0, 40))
})

test('kafka otlp_proto: the event that a broker rejects is found by halving and rejected alone', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  client.plan = ({ records }) => (records.some((record) => seqsOf(record).includes(5)) ? fault('permanent') : undefined)
  const outcome = await exporter.send(batch(part(0, 9)), NEVER)
  assert.ok(outcome.status === 'partial')
  assert.deepEqual(
    outcome.refusals.map(({ reason, which }) => [reason, which]),
    [['invalid', [5]]],
  )
  assert.deepEqual(recordsOf(client).flatMap(seqsOf), [0, 1, 2, 3, 4, 6, 7, 8])
})

test('kafka otlp_proto: an idempotent request whose answer was lost is sent again as the same records', async () => {
  const client = new FakeClient()
  const exporter = await start(client, { idempotent: true, key: 'policy' })
  const whole = batch(part(0, 10))
  client.plan = () => fault('retry')
  assert.equal((await exporter.send(whole, NEVER)).status, 'retryable')
  client.plan = () => undefined
  assert.deepEqual(await exporter.send(whole, NEVER), { status: 'delivered' })
  const [first, again] = client.calls
  assert.deepEqual(again?.records, first?.records)
  assert.deepEqual(
    recordsOf(client)
      .flatMap(seqsOf)
      .toSorted((a, b) => a - b),
    numbers(0, 10),
  )
})
