/** Creates topics for tests. */
import kafkajs from 'kafkajs'
import type { AclEntry, Admin } from 'kafkajs'
import { until } from '../../e2e/support/wait.ts'
import { guardKafkajs } from '../../../exporters/sinks/kafka/client/guard.ts'

export interface TopicOptions {
  readonly replicas?: number
  readonly minInSync?: number
  readonly maxMessageBytes?: number
}

export class Topics {
  readonly #brokers: readonly string[]

  constructor(brokers: readonly string[]) {
    guardKafkajs()
    this.#brokers = brokers
  }

  /** Settles when every partition has a leader. */
  async create(topic: string, numPartitions: number, options: TopicOptions = {}): Promise<void> {
    const { replicas = 1, minInSync = 1, maxMessageBytes } = options
    const configEntries = [{ name: 'min.insync.replicas', value: String(minInSync) }]
    if (maxMessageBytes !== undefined) configEntries.push({ name: 'max.message.bytes', value: String(maxMessageBytes) })
    await this.#ask(async (admin) => {
      const topics = [{ topic, numPartitions, replicationFactor: replicas, configEntries }]
      await admin.createTopics({ topics, waitForLeaders: false })
      await until(`leaders of ${topic}`, () => hasLeaders(admin, topic))
    })
  }

  /** Number of records in a topic without transactions and compaction. */
  async records(topic: string): Promise<number> {
    let sum = 0
    await this.#ask(async (admin) => {
      const partitions = await admin.fetchTopicOffsets(topic)
      for (const { high, low } of partitions) sum += Number(high) - Number(low)
    })
    return sum
  }

  async grow(topic: string, count: number): Promise<void> {
    await this.#ask(async (admin) => void (await admin.createPartitions({ topicPartitions: [{ topic, count }] })))
  }

  /** Denies everyone all operations on the topic. Brokers with an authorizer only. */
  async forbid(topic: string): Promise<void> {
    await this.#ask(async (admin) => void (await admin.createAcls({ acl: [denialOf(topic)] })))
  }

  async allow(topic: string): Promise<void> {
    await this.#ask(async (admin) => void (await admin.deleteAcls({ filters: [denialOf(topic)] })))
  }

  async #ask(run: (admin: Admin) => Promise<void>): Promise<void> {
    const client = new kafkajs.Kafka({ brokers: [...this.#brokers], logLevel: kafkajs.logLevel.NOTHING })
    const admin = client.admin({ retry: { initialRetryTime: 200, retries: 10 } })
    await admin.connect()
    try {
      await run(admin)
    } finally {
      await admin.disconnect()
    }
  }
}

/** A broker that does not have a new topic yet answers with a retriable error. */
async function hasLeaders(admin: Admin, topic: string): Promise<boolean> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0]?.partitions.every(({ leader }) => leader >= 0) === true
  } catch (error) {
    if (error instanceof kafkajs.KafkaJSProtocolError && error.retriable) return false
    throw error
  }
}

function denialOf(topic: string): AclEntry {
  return {
    resourceType: kafkajs.AclResourceTypes.TOPIC,
    resourceName: topic,
    resourcePatternType: kafkajs.ResourcePatternTypes.LITERAL,
    principal: 'User:ANONYMOUS',
    host: '*',
    operation: kafkajs.AclOperationTypes.ALL,
    permissionType: kafkajs.AclPermissionTypes.DENY,
  }
}
