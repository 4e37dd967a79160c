/**
 * The same exporter against the official Apache Kafka image by testcontainers, where a docker daemon and an image
 * registry can be reached. The broker by jar in kafka.test.ts runs in any case.
 */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import kafkajs from 'kafkajs'
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers'
import type { StartedTestContainer } from 'testcontainers'
import { KafkaExporter } from '../../exporters/kafka/exporter.ts'
import { DEFAULT_KAFKA_OPTIONS } from '../../exporters/kafka/options.ts'
import type { DriverName } from '../../exporters/kafka/options.ts'
import { batchOf } from '../../exporters/sending/encoded.ts'
import { describedParts, NODE_NAME } from '../support/kafka/events.ts'
import { KAFKA_VERSION } from '../support/kafka/jars.ts'
import { Topics } from '../support/kafka/topics.ts'

const IMAGE = `apache/kafka:${KAFKA_VERSION}`
const START_MS = 120_000
const EVENTS = 5000
const DRIVERS: readonly DriverName[] = ['kafkajs', 'platformatic']

const first = (error: unknown): string => String(error).split('\n')[0] ?? ''

/** The container and its address, or why there is none. */
async function startKafka(): Promise<{ container: StartedTestContainer; broker: string } | { missing: string }> {
  try {
    await getContainerRuntimeClient()
  } catch (error) {
    return { missing: `no docker daemon: ${first(error)}` }
  }
  // The broker must be told its outer port before it starts.
  const port = await freePort()
  const broker = `127.0.0.1:${port}`
  const settings = {
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://${broker}`,
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
  }
  try {
    const container = await new GenericContainer(IMAGE)
      .withEnvironment(settings)
      .withExposedPorts({ container: 9092, host: port })
      .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
      .withStartupTimeout(START_MS)
      .start()
    return { container, broker }
  } catch (error) {
    if (!/pull|manifest|registry|not found|no such image|lookup|i\/o timeout/i.test(String(error))) throw error
    return { missing: `cannot pull ${IMAGE}: ${first(error)}` }
  }
}

test('kafka: events arrive in the official image, by either driver', async (t) => {
  const started = await startKafka()
  if ('missing' in started) return t.skip(started.missing)
  try {
    const topics = new Topics([started.broker])
    for (const driver of DRIVERS) {
      await topics.create(driver, 1)
      const names = { brokers: [started.broker], topic: driver, nodeName: NODE_NAME, epoch: 'e', driver }
      await using exporter = new KafkaExporter({ ...DEFAULT_KAFKA_OPTIONS, ...names })
      await exporter.start()
      const outcome = await exporter.send(batchOf(describedParts(0, EVENTS)), AbortSignal.timeout(60_000))
      assert.deepEqual(outcome, { status: 'delivered' })
      assert.equal(await endOffset(started.broker, driver), EVENTS)
    }
  } finally {
    await started.container.stop()
  }
})

async function endOffset(broker: string, topic: string): Promise<number> {
  const admin = new kafkajs.Kafka({ brokers: [broker] }).admin()
  await admin.connect()
  try {
    return Number((await admin.fetchTopicOffsets(topic))[0]?.high)
  } finally {
    await admin.disconnect()
  }
}

function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
