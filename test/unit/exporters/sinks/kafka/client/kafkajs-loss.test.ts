/** kafkajs's loss with a resolved promise (tulios/kafkajs#1303), with its own code and brokers that move a leader. */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'

interface Entry {
  readonly partition: number
  readonly messages: ReadonlyArray<{ readonly value: string }>
}
interface Produce {
  readonly topicData: ReadonlyArray<{ readonly topic: string; readonly partitions: readonly Entry[] }>
}
interface Message {
  readonly value: string
  readonly partition: number
}
type SendMessages = (request: {
  readonly acks: number
  readonly topicMessages: ReadonlyArray<{ readonly topic: string; readonly messages: readonly Message[] }>
}) => Promise<ReadonlyArray<{ readonly partition: number }>>

const require = createRequire(import.meta.url)
const nothing = (): undefined => undefined

/** Two brokers; broker 2 refuses its first request because partition 1 has just moved to broker 1. */
class MovingCluster {
  readonly stored: string[] = []
  #moved = false

  make(): SendMessages {
    const create: unknown = require('kafkajs/src/producer/sendMessages')
    const retry: unknown = require('kafkajs/src/retry')
    if (typeof create !== 'function' || typeof retry !== 'function') throw new Error('kafkajs is not as it was')
    const brokers = [1, 2].map((nodeId) => ({ nodeId, produce: (request: Produce) => this.#produce(nodeId, request) }))
    const cluster = {
      addMultipleTargetTopics: async () => undefined,
      refreshMetadataIfNecessary: async () => undefined,
      refreshMetadata: async () => undefined,
      isConnected: () => true,
      findTopicPartitionMetadata: () => [{ partitionId: 0 }, { partitionId: 1 }],
      findLeaderForPartitions: (_: string, partitions: readonly string[]) => this.#leaders(partitions.map(Number)),
      findBroker: async ({ nodeId }: { nodeId: string }) => brokers[Number(nodeId) - 1],
    }
    const eosManager = {
      acquireBrokerLock: async () => undefined,
      releaseBrokerLock: async () => undefined,
      isTransactional: () => false,
      getSequence: () => 0,
      updateSequence: nothing,
      getProducerId: nothing,
      getProducerEpoch: nothing,
    }
    return create({
      logger: { debug: nothing, error: nothing },
      cluster,
      eosManager,
      partitioner: ({ message }: { message: Message }) => message.partition,
      retrier: retry({ initialRetryTime: 1, retries: 3 }),
    })
  }

  #leaders(partitions: readonly number[]): Record<string, number[]> {
    const leaders: Record<string, number[]> = {}
    for (const partition of partitions) (leaders[partition === 1 && !this.#moved ? 2 : 1] ??= []).push(partition)
    return leaders
  }

  async #produce(nodeId: number, { topicData }: Produce): Promise<unknown> {
    if (nodeId === 2) {
      this.#moved = true
      throw Object.assign(new Error('not leader'), {
        name: 'KafkaJSProtocolError',
        type: 'NOT_LEADER_FOR_PARTITION',
        retriable: true,
      })
    }
    for (const { partitions } of topicData) {
      for (const { messages } of partitions) this.stored.push(...messages.map(({ value }) => value))
    }
    const topics = topicData.map(({ topic, partitions }) => {
      return { topicName: topic, partitions: partitions.map(({ partition }) => ({ partition, errorCode: 0 })) }
    })
    return { topics }
  }
}

const message = (partition: number): Message => ({ value: `p${partition}`, partition })

test('kafkajs: two partitions in one send lose one when its leader moves, and the promise resolves (the fault)', async () => {
  const cluster = new MovingCluster()
  const topicMessages = [{ topic: 't', messages: [message(0), message(1)] }]
  const answers = await cluster.make()({ acks: -1, topicMessages })
  assert.deepEqual(cluster.stored, ['p0'])
  assert.deepEqual(
    answers.map(({ partition }) => partition),
    [0],
  )
})

test('kafkajs: with one partition a send, as in ours, nothing is lost and the failure is reported', async () => {
  const cluster = new MovingCluster()
  const send = cluster.make()
  for (const partition of [0, 1]) {
    const answers = await send({ acks: -1, topicMessages: [{ topic: 't', messages: [message(partition)] }] })
    assert.deepEqual(
      answers.map((answer) => answer.partition),
      [partition],
    )
  }
  assert.deepEqual(cluster.stored, ['p0', 'p1'])
})
