/**
 * The driver with @platformatic/kafka: its connections (TLS, SASL, reauthentication), requests and protocol errors, but our
 * metadata, record batches and one produce request per call. Its `Producer.send` creates a dozen objects per record and hides
 * which attempt failed. Uses Produce v9: Kafka 2.8 or later.
 */
import { initProducerIdV4, produceV9, Writer } from '@platformatic/kafka'
import type { Connection } from '@platformatic/kafka'
import { setTimeout as pause } from 'node:timers/promises'
import { codecOf, CODEC_IDS } from './codecs.ts'
import type { Compress } from './codecs.ts'
import { MOVED_MS, partitionsOf } from './driver.ts'
import type { DriverDeps, KafkaDriver, KafkaRecord, Partitions } from './driver.ts'
import { faultOf, faultOfCode, KafkaFault, unlessThere, unwritten } from '../faults.ts'
import type { KafkaConnection } from '../connection.ts'
import { Cluster } from './platformatic-cluster.ts'
import { RecordBatchWriter, sequenceAfter } from './record-batch.ts'

const PRODUCE = 0
const PRODUCE_VERSION = 9
const TRANSACTION_MS = 60_000

interface Identity {
  readonly producerId: bigint
  readonly epoch: number
  /** Next sequence number by `topic/partition`. */
  readonly sequences: Map<string, number>
}

const NOBODY: Identity = { producerId: -1n, epoch: -1, sequences: new Map() }

export class PlatformaticDriver implements KafkaDriver {
  #options: KafkaConnection
  readonly #codec: { readonly id: number; readonly compress: Compress | undefined }
  readonly #writer = new RecordBatchWriter()
  #cluster: Cluster
  #identity: Promise<Identity> | undefined
  #closed = false

  constructor(options: KafkaConnection, deps: DriverDeps) {
    this.#options = options
    this.#codec = {
      id: CODEC_IDS[options.compression],
      compress: codecOf(options.compression, deps.compressors, deps.codec),
    }
    this.#cluster = new Cluster(options)
  }

  async partitions(topics: readonly string[]): Promise<Partitions> {
    this.#checkOpen()
    const { brokers } = this.#options
    try {
      const found = await this.#cluster.ask(topics)
      return new Map(
        topics.map((topic) => {
          const { errorCode = 0, partitions = [] } = found.get(topic) ?? {}
          return [topic, partitionsOf(topic, brokers, errorCode, partitions.length)]
        }),
      )
    } catch (error) {
      throw unwritten(faultOf(error, `ask ${brokers.join(', ')} for topics`))
    }
  }

  async send(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<void> {
    const what = `write to topic "${topic}", partition ${partition}`
    const name = `${topic}/${partition}`
    const cluster = this.#cluster
    const identity = await this.#identified(what)
    const sequence = identity.sequences.get(name) ?? 0
    try {
      const producer = { producerId: identity.producerId, epoch: identity.epoch, sequence }
      const batch = await this.#writer.write(records, this.#codec, producer)
      await this.#produce(cluster, topic, partition, batch, what)
    } catch (error) {
      cluster.forget(topic)
      throw faultOf(error, what)
    }
    if (identity !== NOBODY) identity.sequences.set(name, sequenceAfter(sequence, records.length))
  }

  async reset(connection: KafkaConnection = this.#options): Promise<void> {
    const cluster = this.#cluster
    this.#options = connection
    this.#identity = undefined
    this.#cluster = new Cluster(connection)
    await cluster.close()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#cluster.close()
  }

  /** Sends to the leader and follows one that moved, because nothing was written then. */
  async #produce(cluster: Cluster, topic: string, partition: number, batch: Buffer, what: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      this.#checkOpen()
      const fault = await this.#try(cluster, topic, partition, batch, what)
      if (fault === undefined) return
      const wait = MOVED_MS[attempt]
      if (fault.kind !== 'moved' || wait === undefined) throw fault
      cluster.forget(topic)
      await pause(wait)
    }
  }

  async #try(
    cluster: Cluster,
    topic: string,
    partition: number,
    batch: Buffer,
    what: string,
  ): Promise<KafkaFault | undefined> {
    let connection: Connection | undefined
    try {
      connection = await cluster.leader(topic, partition)
    } catch (error) {
      return unwritten(faultOf(error, what))
    }
    if (connection === undefined) {
      return new KafkaFault('moved', 'LEADER_NOT_AVAILABLE', `cannot ${what}: no broker leads it now`)
    }
    try {
      const answer = await request(connection, this.#options, topic, partition, batch)
      return faultIn(answer, topic, partition, what)
    } catch (error) {
      return unlessThere(faultOf(error, what))
    }
  }

  #identified(what: string): Promise<Identity> {
    if (!this.#options.idempotent) return Promise.resolve(NOBODY)
    const identity = (this.#identity ??= this.#identify(what))
    identity.catch(() => {
      if (this.#identity === identity) this.#identity = undefined
    })
    return identity
  }

  async #identify(what: string): Promise<Identity> {
    try {
      const connection = await this.#cluster.any()
      const { producerId, producerEpoch } = await initProducerIdV4.api.async(connection, null, TRANSACTION_MS, -1n, -1)
      return { producerId, epoch: producerEpoch, sequences: new Map() }
    } catch (error) {
      throw unwritten(faultOf(error, what))
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new KafkaFault('retry', 'CLOSED', 'the connection to Kafka is closed')
  }
}

type Answer = ReturnType<typeof produceV9.parseResponse>

function request(
  connection: Connection,
  options: KafkaConnection,
  topic: string,
  partition: number,
  batch: Buffer,
): Promise<Answer> {
  const payload = (): Writer =>
    Writer.create()
      .appendString(null)
      .appendInt16(options.acks === 'all' ? -1 : 1)
      .appendInt32(options.request_timeout)
      // Compact arrays and bytes begin with their length plus one; each struct ends with its tagged fields.
      .appendUnsignedVarInt(2)
      .appendString(topic)
      .appendUnsignedVarInt(2)
      .appendInt32(partition)
      .appendUnsignedVarInt(batch.length + 1)
      .append(batch)
      .appendTaggedFields()
      .appendTaggedFields()
      .appendTaggedFields()
  return new Promise((resolve, reject) => {
    connection.send<Answer>(PRODUCE, PRODUCE_VERSION, payload, produceV9.parseResponse, true, true, (error, answer) => {
      if (error !== null) reject(error)
      else if (answer === undefined) reject(new Error('no answer'))
      else resolve(answer)
    })
  })
}

function faultIn(answer: Answer, topic: string, partition: number, what: string): KafkaFault | undefined {
  const own = answer.responses.find(({ name }) => name === topic)
  const one = own?.partitionResponses.find(({ index }) => index === partition)
  if (one === undefined) return new KafkaFault('retry', 'NOT_ANSWERED', `cannot ${what}: no broker answered for it`)
  return faultOfCode(one.errorCode, what)
}
