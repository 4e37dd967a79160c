/** Creates topics for tests. */
import kafkajs from 'kafkajs'
import type { Admin } from 'kafkajs'
import { guardKafkajs } from '../../../exporters/kafka/drivers/kafkajs-guard.ts'

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
      await admin.createTopics({ topics, waitForLeaders: true })
    })
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
