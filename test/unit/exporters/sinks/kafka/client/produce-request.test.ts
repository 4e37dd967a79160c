/** Our record batches inside kafkajs's produce requests, compared with those that kafkajs writes. */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { KafkaFault } from '../../../../../../exporters/sinks/kafka/client/faults.ts'
import { acceptReadyBatches, ReadyBatch } from '../../../../../../exporters/sinks/kafka/client/produce-request.ts'
import { RecordBatchWriter } from '../../../../../../exporters/sinks/kafka/client/record-batch.ts'
import type { KafkaRecord } from '../../../../../../exporters/sinks/kafka/client/record-batch.ts'

interface Made {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    encode(): Promise<{ readonly buffer: Buffer }>
  }
  readonly response: unknown
}

const IDENTITY = { producerId: '81985529216486895', producerEpoch: 258 }
const SEQUENCE = 70_000

const require = createRequire(import.meta.url)

/** kafkajs's produce request of a version, for one topic and partition. */
function made(version: number, partition: number, messages: readonly unknown[]): Made {
  const { protocol } = require('kafkajs/src/protocol/requests/produce')
  const topicData = [{ topic: 'tøpic', partitions: [{ partition, messages, firstSequence: SEQUENCE }] }]
  return protocol({ version })({ acks: -1, timeout: 30_000, compression: 0, topicData, ...IDENTITY })
}

const records: KafkaRecord[] = [0, 1, 2].map((i) => ({
  key: i === 1 ? null : Buffer.from('node-a'),
  value: Buffer.from(`{"id":${i}}`.padEnd(300 * i, ' ')),
  common: { 'content-type': 'application/json', node: 'nöde' },
  own: { seq: `e-${i}` },
  timestampMs: 1_790_000_000_000 + i * 70_000,
}))

const plain = records.map(({ key, value, common, own, timestampMs }) => ({
  key,
  value,
  headers: { ...common, ...own },
  timestamp: String(timestampMs),
  partition: 3,
}))

function ready(): ReadyBatch {
  const writer = new RecordBatchWriter()
  const codec = { id: 0, compress: undefined }
  return new ReadyBatch(3, (identity) => writer.write(records, codec, { ...identity, sequence: SEQUENCE }))
}

/** `partitionLeaderEpoch` is set by the broker and is not in the checksum: the one field in which both differ. */
function withoutLeaderEpoch(request: Buffer): Buffer {
  const batchAt = request.length - batchBytes(request)
  return Buffer.concat([request.subarray(0, batchAt + 12), request.subarray(batchAt + 16)])
}

function batchBytes(request: Buffer): number {
  const topicBytes = request.readInt16BE(12)
  return request.readInt32BE(14 + topicBytes + 8)
}

test('kafkajs batches: refused with a message in an unknown version', () => {
  assert.throws(
    () => acceptReadyBatches('2.3.0'),
    /ExportError: .*expected kafkajs 2\.2\.4, got 2\.3\.0; reinstall the package/,
  )
})

for (const version of [3, 5, 7]) {
  test(`kafkajs batches: Produce v${version} has the bytes that kafkajs writes for the same records`, async () => {
    acceptReadyBatches()
    const own = made(version, 3, plain)
    const ours = made(version, 3, [ready()])
    assert.deepEqual([ours.request.apiKey, ours.request.apiVersion], [0, version])
    assert.equal(ours.response, own.response)
    const [want, got] = [(await own.request.encode()).buffer, (await ours.request.encode()).buffer]
    assert.ok(batchBytes(got) > 900)
    assert.deepEqual(withoutLeaderEpoch(got), withoutLeaderEpoch(want))
  })
}

test('kafkajs batches: registering twice has no effect, and each try writes the batch again', async () => {
  acceptReadyBatches()
  acceptReadyBatches()
  let writes = 0
  const batch = new ReadyBatch(0, async () => Buffer.from([++writes]))
  const { request } = made(7, 0, [batch])
  for (const last of [1, 2]) assert.equal((await request.encode()).buffer.at(-1), last)
})

test('kafkajs batches: a broker that is too old for them is reported, and nothing is sent', () => {
  acceptReadyBatches()
  assert.throws(
    () => made(2, 3, [ready()]),
    (error) => error instanceof KafkaFault && error.kind === 'config',
  )
  assert.equal(made(2, 3, plain).request.apiVersion, 2)
})
