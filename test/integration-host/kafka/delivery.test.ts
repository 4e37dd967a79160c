/**
 * The Kafka exporter with a real broker; events are read back by Kafka's own
 * console consumer. Runs on the host: it needs a JVM, not a kernel. Failing brokers: faults.test.ts.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Encoded } from '../../../exporters/contract/exporter.ts'
import { NODE_NAME, timeOf } from '../../support/kafka/events.ts'
import { readTopic } from '../../support/kafka/read-topic.ts'
import { numberOf, reconcile } from '../../support/kafka/reconcile.ts'
import { DEADLINE_MS, EPOCH, offer, senderOf, withCluster } from '../../support/kafka/rig.ts'
import { SKIP_LONG } from '../../support/long.ts'
import { until } from '../../unit/exporters/support/fake-clock.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'
import type { KafkaConfig } from '../../../exporters/sinks/kafka/client/connection.ts'

const EVENTS = SKIP_LONG === false ? 50_000 : 4000

const warnings: string[] = []
process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`))

/** An event that no codec compresses below 50 %. */
function incompressibleLine(seq: number, byteCount: number): Encoded {
  const bytes = Buffer.from(`${randomBytes(byteCount).toString('hex')}\n`)
  return { encoding: 'json', bytes, ends: Uint32Array.of(bytes.length), count: 1, firstSeq: seq }
}

/** Snappy's format without compression: the length as a varint, then literals of at most 64 KiB. */
const LITERAL_SNAPPY = `
export function compress(records) {
  const pieces = []
  let length = records.length
  for (; length >= 0x80; length >>>= 7) pieces.push(Buffer.from([(length & 0x7f) | 0x80]))
  pieces.push(Buffer.from([length]))
  for (let at = 0; at < records.length; at += 65536) {
    const literal = records.subarray(at, at + 65536)
    pieces.push(Buffer.from([61 << 2, (literal.length - 1) & 0xff, (literal.length - 1) >> 8]), literal)
  }
  return Promise.resolve(Buffer.concat(pieces))
}
`

const ARRIVALS: ReadonlyArray<{
  readonly compression: KafkaConfig['compression']
  readonly idempotent: boolean
  readonly skip: string | false
}> = [
  { compression: 'zstd', idempotent: false, skip: false },
  { compression: 'gzip', idempotent: true, skip: SKIP_LONG },
  { compression: 'none', idempotent: false, skip: SKIP_LONG },
]

test('kafka: events arrive once, in order of key, with headers and times, with each codec', async (t) => {
  await withCluster(t, { nodes: 1 }, async (cluster, jars, topics) => {
    for (const { compression, idempotent, skip } of ARRIVALS) {
      await t.test(`${compression}${idempotent ? ', idempotent' : ''}`, { skip }, async () => {
        const topic = `codec-${compression}`
        await topics.create(topic, 4)
        const sender = senderOf(cluster.brokers, topic, { compression, idempotent, key: 'exec_id' })
        await sender.start()
        await offer(sender, 0, EVENTS)
        await sender.stop(60_000)
        assert.deepEqual([sender.accounting().delivered, sender.imbalance()], [EVENTS, 0])
        const records = await readTopic(jars, cluster.brokers, topic)
        assert.equal(reconcile(records, { [EPOCH]: EVENTS }), 0)
        assert.equal(new Set(records.map(({ partition }) => partition)).size, 4)
        for (const record of records) {
          const value: unknown = JSON.parse(record.value)
          const { seq: _, partition_seq: ofPartition, ...rest } = record.headers
          const { seq } = numberOf(record)
          const type = typeof value === 'object' && value !== null ? Object.keys(value)[0] : undefined
          const common = { 'content-type': 'application/json', node: NODE_NAME, schema: '1' }
          assert.deepEqual(rest, { ...common, 'event-type': type, exporter_seq: `kafka-${seq}` })
          assert.match(ofPartition ?? '', /^e1-\d+$/)
          assert.equal(record.timestampMs, timeOf(seq))
          assert.ok(record.value.includes(`"exec_id":"${record.key}"`))
        }
      })
    }
    await t.test('snappy by a package that the config names', async () => {
      using folder = new Folder()
      const home = folder.at('node_modules/literal-snappy')
      mkdirSync(home, { recursive: true })
      writeFileSync(`${home}/package.json`, '{"name":"literal-snappy","type":"module","main":"index.js"}')
      writeFileSync(`${home}/index.js`, LITERAL_SNAPPY)
      await topics.create('snappy', 1)
      const codec = { compression: 'snappy', codec: 'npm:literal-snappy' } as const
      const sender = senderOf(cluster.brokers, 'snappy', codec, folder.at('config.yaml'))
      await sender.start()
      await offer(sender, 0, 1000)
      await sender.stop(20_000)
      assert.equal(reconcile(await readTopic(jars, cluster.brokers, 'snappy'), { [EPOCH]: 1000 }), 0)
    })
    await t.test(
      'a missing topic holds events and is reported; only the event that is too large is rejected',
      async () => {
        const topic = 'late'
        const sender = senderOf(cluster.brokers, topic, {})
        await sender.start()
        await offer(sender, 0, 1000)
        await until('it holds', () => sender.accounting().state === 'hold', DEADLINE_MS)
        assert.match(
          sender.accounting().lastError,
          new RegExp(`topic "${topic}".*UNKNOWN_TOPIC_OR_PARTITION.*create it`),
        )
        // The broker's limit for this topic is below the size of one request.
        await topics.create(topic, 1, { maxMessageBytes: 100_000 })
        await sender.reopen()
        await until('all is delivered', () => sender.accounting().heldEvents === 0, DEADLINE_MS)
        await sender.offer(incompressibleLine(1000, 120_000))
        await offer(sender, 1001, 1101)
        await sender.stop(20_000)
        const { delivered, rejected } = sender.accounting()
        assert.deepEqual(
          { delivered, rejected, imbalance: sender.imbalance() },
          { delivered: 1100, rejected: { too_large: 1 }, imbalance: 0 },
        )
        const records = await readTopic(jars, cluster.brokers, topic)
        assert.deepEqual(
          records.map((record) => numberOf(record).seq),
          [...Array(1000).keys(), ...Array.from({ length: 100 }, (_, i) => 1001 + i)],
        )
      },
    )
  })
})

test('kafka: no client causes a warning of Node about a negative timer', () => {
  assert.deepEqual(
    warnings.filter((text) => text.startsWith('TimeoutNegativeWarning')),
    [],
  )
})
