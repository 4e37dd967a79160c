/**
 * The Kafka exporter against real brokers, each driver through the same tests; what arrived is read back by Kafka's own
 * console consumer. Runs on the host: it needs a JVM, not a kernel.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { Encoded } from '../../exporters/exporter.ts'
import { KafkaExporter } from '../../exporters/kafka/exporter.ts'
import { DEFAULT_KAFKA_OPTIONS } from '../../exporters/kafka/options.ts'
import type { DriverName, KafkaOptions } from '../../exporters/kafka/options.ts'
import { DEFAULT_SENDER_OPTIONS } from '../../exporters/sending/options.ts'
import { Sender } from '../../exporters/sending/sender.ts'
import { KafkaCluster } from '../support/kafka/cluster.ts'
import { describedParts, NODE_NAME, timeOf } from '../support/kafka/events.ts'
import { kafkaJars } from '../support/kafka/jars.ts'
import { readTopic } from '../support/kafka/read-topic.ts'
import type { ReadRecord } from '../support/kafka/read-topic.ts'
import { Topics } from '../support/kafka/topics.ts'
import { until } from '../unit/exporters/support/fake-clock.ts'

const DRIVERS: readonly DriverName[] = ['kafkajs', 'platformatic']
const EVENTS = 50_000
const LOAD_EVENTS = 30_000
const MOST_EVENTS = 200_000
const DEADLINE_MS = 120_000

const warnings: string[] = []
process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`))

function senderOf(brokers: readonly string[], topic: string, change: Partial<KafkaOptions>): Sender {
  const names = { brokers, topic, nodeName: NODE_NAME, epoch: 'e1' }
  const exporter = new KafkaExporter({ ...DEFAULT_KAFKA_OPTIONS, ...names, ...change })
  const retry = { initialMs: 100, maxMs: 1000 }
  return new Sender('kafka', exporter, { ...DEFAULT_SENDER_OPTIONS, retry })
}

/** Offers events as the agent does; `between` is called after each part. */
async function offer(sender: Sender, from: number, to: number, between?: (seq: number) => void): Promise<void> {
  for (let seq = from; seq < to; seq += 200) {
    for (const part of describedParts(seq, Math.min(to, seq + 200))) await sender.offer(part)
    between?.(seq)
  }
}

/** One event that no codec makes smaller than half. */
function incompressibleLine(seq: number, byteCount: number): Encoded {
  const bytes = Buffer.from(`${randomBytes(byteCount).toString('hex')}\n`)
  return { encoding: 'json', bytes, ends: Uint32Array.of(bytes.length), count: 1, firstSeq: seq }
}

const seqOf = (record: ReadRecord): number => Number(record.headers['seq']?.split('-')[1])

/** What lies in a topic against what was sent: nothing missing, order by key. Returns the number of duplicates. */
function reconcile(records: readonly ReadRecord[], count: number): number {
  const seen = new Set<number>()
  const last = new Map<string, number>()
  for (const record of records) {
    const seq = seqOf(record)
    const key = `${record.partition}/${record.key}`
    // A duplicate may come later than what came after it; what is new must not.
    if (!seen.has(seq)) {
      assert.ok(seq > (last.get(key) ?? -1), `event ${seq} of key ${record.key} came after ${last.get(key)}`)
      last.set(key, seq)
    }
    seen.add(seq)
  }
  const missing = Array.from({ length: count }, (_, seq) => seq).filter((seq) => !seen.has(seq))
  assert.deepEqual(missing.slice(0, 10), [], `${missing.length} of ${count} events are missing`)
  assert.equal(seen.size, count)
  return records.length - count
}

async function withCluster(
  t: TestContext,
  nodes: number,
  run: (cluster: KafkaCluster, jars: string, topics: Topics) => Promise<void>,
): Promise<void> {
  const jars = await kafkaJars()
  if ('missing' in jars) return t.skip(jars.missing)
  await using cluster = await KafkaCluster.start(jars.folder, { nodes, settings: { 'message.max.bytes': '1048588' } })
  await run(cluster, jars.folder, new Topics(cluster.brokers))
}

test('kafka: 50,000 events arrive once, in order of key, with headers and times, by either driver and each codec', async (t) => {
  await withCluster(t, 1, async (cluster, jars, topics) => {
    for (const driver of DRIVERS) {
      for (const compression of ['none', 'gzip', 'zstd'] as const) {
        await t.test(`${driver}, ${compression}`, async () => {
          const topic = `${driver}-${compression}`
          await topics.create(topic, 4)
          const sender = senderOf(cluster.brokers, topic, { driver, compression, key: 'exec_id' })
          await sender.start()
          await offer(sender, 0, EVENTS)
          await sender.stop(60_000)
          assert.deepEqual([sender.books().delivered, sender.imbalance()], [EVENTS, 0])
          const records = await readTopic(jars, cluster.brokers, topic)
          assert.equal(reconcile(records, EVENTS), 0)
          assert.equal(new Set(records.map(({ partition }) => partition)).size, 4)
          for (const record of records) {
            const value: unknown = JSON.parse(record.value)
            const { seq, ...rest } = record.headers
            const type = typeof value === 'object' && value !== null ? Object.keys(value)[0] : undefined
            const common = { 'content-type': 'application/json', node: NODE_NAME, schema: '1' }
            assert.deepEqual(rest, { ...common, 'event-type': type })
            assert.equal(record.timestampMs, timeOf(Number(seq?.split('-')[1])))
            assert.ok(record.value.includes(`"exec_id":"${record.key}"`))
          }
        })
      }
    }
  })
})

test('kafka: a broker killed and restarted under load loses nothing; duplicates are counted', async (t) => {
  await withCluster(t, 1, async (cluster, jars, topics) => {
    for (const [driver, idempotent] of [
      ['kafkajs', false],
      ['platformatic', false],
      ['platformatic', true],
    ] as const) {
      await t.test(`${driver}${idempotent ? ', idempotent' : ''}`, async () => {
        const topic = `kill-${driver}-${idempotent}`
        await topics.create(topic, 3)
        const sender = senderOf(cluster.brokers, topic, { driver, idempotent, key: 'exec_id' })
        await sender.start()
        let outage: Promise<void> | undefined
        await offer(sender, 0, LOAD_EVENTS, (seq) => {
          if (seq >= LOAD_EVENTS / 3) outage ??= cluster.kill(1).then(() => cluster.restart(1))
        })
        await outage
        await until('all is delivered', () => sender.books().heldEvents === 0, DEADLINE_MS)
        await sender.stop(10_000)
        const { delivered, retries } = sender.books()
        assert.deepEqual([delivered, sender.imbalance()], [LOAD_EVENTS, 0])
        const duplicates = reconcile(await readTopic(jars, cluster.brokers, topic), LOAD_EVENTS)
        const possible = sender.exporter.counters?.['duplicates_possible'] ?? 0
        t.diagnostic(`${topic}: ${retries} retries, ${duplicates} duplicates of ${possible} possible`)
        // One request of each partition may have been written without an answer, and kafkajs tries by itself as well.
        assert.ok(driver === 'kafkajs' || duplicates <= possible, `${duplicates} duplicates, ${possible} foreseen`)
      })
    }
  })
})

test('kafka: leaders that move between three brokers under load lose nothing', async (t) => {
  await withCluster(t, 3, async (cluster, jars, topics) => {
    for (const driver of DRIVERS) {
      await t.test(driver, async () => {
        const topic = `move-${driver}`
        await topics.create(topic, 6, { replicas: 3, minInSync: 2 })
        const sender = senderOf(cluster.brokers, topic, { driver, key: 'exec_id' })
        await sender.start()
        // Each broker ends once, two of them in the orderly way that hands its leaders over, and comes back.
        const moves = { done: false }
        const moving = (async () => {
          for (const [id, signal] of [
            [1, 'SIGTERM'],
            [2, 'SIGKILL'],
            [3, 'SIGTERM'],
          ] as const) {
            await cluster.kill(id, signal)
            await cluster.restart(id)
          }
        })().finally(() => (moves.done = true))
        let seq = 0
        while (!moves.done && seq < MOST_EVENTS) {
          await offer(sender, seq, seq + 400)
          seq += 400
          // About 2,000 events a second.
          await pause(200)
        }
        await moving
        await until('all is delivered', () => sender.books().heldEvents === 0, DEADLINE_MS)
        await sender.stop(10_000)
        assert.deepEqual([sender.books().delivered, sender.imbalance()], [seq, 0])
        const duplicates = reconcile(await readTopic(jars, cluster.brokers, topic), seq)
        t.diagnostic(`${topic}: ${seq} events, ${sender.books().retries} retries, ${duplicates} duplicates`)
      })
    }
  })
})

test('kafka: a missing topic holds and says so until it is created; a record that is too large is refused alone', async (t) => {
  await withCluster(t, 1, async (cluster, jars, topics) => {
    for (const driver of DRIVERS) {
      await t.test(driver, async () => {
        const topic = `late-${driver}`
        const sender = senderOf(cluster.brokers, topic, { driver })
        await sender.start()
        await offer(sender, 0, 1000)
        await until('it holds', () => sender.books().state === 'hold', DEADLINE_MS)
        assert.match(sender.books().lastError, new RegExp(`topic "${topic}".*UNKNOWN_TOPIC_OR_PARTITION.*create it`))
        // The broker takes less in this topic than we send in one request.
        await topics.create(topic, 1, { maxMessageBytes: 100_000 })
        await sender.reopen()
        await until('all is delivered', () => sender.books().heldEvents === 0, DEADLINE_MS)
        await sender.offer(incompressibleLine(1000, 120_000))
        await offer(sender, 1001, 1101)
        await sender.stop(20_000)
        const { delivered, rejected } = sender.books()
        assert.deepEqual(
          { delivered, rejected, imbalance: sender.imbalance() },
          { delivered: 1100, rejected: { too_large: 1 }, imbalance: 0 },
        )
        const records = await readTopic(jars, cluster.brokers, topic)
        assert.deepEqual(records.map(seqOf), [
          ...Array(1000).keys(),
          ...Array.from({ length: 100 }, (_, i) => 1001 + i),
        ])
      })
    }
  })
})

test('kafka: no driver makes Node warn of a negative timer', () => {
  assert.deepEqual(
    warnings.filter((text) => text.startsWith('TimeoutNegativeWarning')),
    [],
  )
})
