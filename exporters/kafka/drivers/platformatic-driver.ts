/**
 * The driver on @platformatic/kafka: its connections (TLS, SASL, reauthentication), metadata and protocol errors, but
 * our own record batches and one produce request a call. Its `Producer.send` makes a dozen objects a record and hides
 * which attempt failed; both matter here. Speaks Produce v9, so Kafka 2.8 or later.
 */
import { initProducerIdV4, Producer, produceV9, Writer } from '@platformatic/kafka'
import type { Connection, ProducerOptions } from '@platformatic/kafka'
import { isIP } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { codecOf, CODEC_IDS } from './codecs.ts'
import type { Compress } from './codecs.ts'
import { MOVED_MS } from './driver.ts'
import type { DriverDeps, KafkaDriver, KafkaRecord } from './driver.ts'
import { faultOf, faultOfCode, KafkaFault, UNKNOWN_TOPIC } from '../faults.ts'
import type { KafkaConnection } from '../options.ts'
import { guardPlatformatic } from './platformatic-guard.ts'
import { RecordBatchWriter, sequenceAfter } from './record-batch.ts'

const PRODUCE = 0
const PRODUCE_VERSION = 9
const CONNECT_MS = 5000
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
  #client: Producer
  #identity: Promise<Identity> | undefined
  #closed = false

  constructor(options: KafkaConnection, deps: DriverDeps) {
    guardPlatformatic()
    this.#options = options
    this.#codec = { id: CODEC_IDS[options.compression], compress: codecOf(options.compression, deps.compressors) }
    this.#client = new Producer(clientOptions(options))
  }

  async partitions(topic: string): Promise<number> {
    const what = `ask ${this.#options.brokers.join(', ')} for topic "${topic}"`
    this.#checkOpen()
    try {
      const { topics } = await this.#client.metadata({ topics: [topic], forceUpdate: true, autocreateTopics: false })
      const count = topics.get(topic)?.partitionsCount ?? 0
      if (count > 0) return count
    } catch (error) {
      this.#client.clearMetadata()
      throw faultOf(error, what)
    }
    throw new KafkaFault('config', UNKNOWN_TOPIC, `cannot ${what}: it has no partitions; create it`)
  }

  async send(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<void> {
    const what = `write to topic "${topic}", partition ${partition}`
    const name = `${topic}/${partition}`
    const client = this.#client
    try {
      const identity = await this.#identified()
      const sequence = identity.sequences.get(name) ?? 0
      const producer = { producerId: identity.producerId, epoch: identity.epoch, sequence }
      const batch = await this.#writer.write(records, this.#codec, producer)
      await this.#produce(client, topic, partition, batch, what)
      if (identity !== NOBODY) identity.sequences.set(name, sequenceAfter(sequence, records.length))
    } catch (error) {
      // Whoever leads now, ask.
      client.clearMetadata()
      throw faultOf(error, what)
    }
  }

  async reset(connection: KafkaConnection = this.#options): Promise<void> {
    const client = this.#client
    this.#options = connection
    this.#identity = undefined
    this.#client = new Producer(clientOptions(this.#options))
    await client.close().catch(() => undefined)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#client.close().catch(() => undefined)
  }

  /** Sends to the leader; follows one that moves, for then nothing was written. */
  async #produce(client: Producer, topic: string, partition: number, batch: Buffer, what: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      this.#checkOpen()
      const connection = await leaderOf(client, topic, partition, what)
      const answer = await request(connection, this.#options, topic, partition, batch)
        .catch((error: unknown) => {
          throw faultOf(error, what)
        })
        .catch((fault: KafkaFault) => fault)
      if (!(answer instanceof KafkaFault)) return checkAnswer(answer, topic, partition, what)
      const wait = MOVED_MS[attempt]
      if (answer.kind !== 'moved' || wait === undefined) throw answer
      client.clearMetadata()
      await pause(wait)
    }
  }

  #identified(): Promise<Identity> {
    if (!this.#options.idempotent) return Promise.resolve(NOBODY)
    const identity = (this.#identity ??= this.#identify())
    identity.catch(() => (this.#identity = undefined))
    return identity
  }

  async #identify(): Promise<Identity> {
    const brokers = await this.#client.connectToBrokers()
    const connection = brokers.values().next().value
    if (connection === undefined)
      throw new KafkaFault('retry', 'NETWORK', 'cannot get a producer id: no broker is there')
    const { producerId, producerEpoch } = await initProducerIdV4.api.async(connection, null, TRANSACTION_MS, -1n, -1)
    return { producerId, epoch: producerEpoch, sequences: new Map() }
  }

  #checkOpen(): void {
    if (this.#closed) throw new KafkaFault('retry', 'CLOSED', 'the connection to Kafka is closed')
  }
}

async function leaderOf(client: Producer, topic: string, partition: number, what: string): Promise<Connection> {
  const { topics, brokers } = await client.metadata({ topics: [topic], autocreateTopics: false })
  const leader = topics.get(topic)?.partitions[partition]?.leader
  const broker = leader === undefined ? undefined : brokers.get(leader)
  if (broker === undefined) {
    client.clearMetadata()
    throw new KafkaFault('retry', 'LEADER_NOT_AVAILABLE', `cannot ${what}: no broker leads it now`)
  }
  return client.connections.get(broker)
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
      .appendInt32(options.requestTimeoutMs)
      // Compact arrays and bytes have their length plus one in front; each struct ends with its tagged fields.
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

function checkAnswer(answer: Answer, topic: string, partition: number, what: string): void {
  const own = answer.responses.find(({ name }) => name === topic)
  const one = own?.partitionResponses.find(({ index }) => index === partition)
  if (one === undefined) throw new KafkaFault('retry', 'NOT_ANSWERED', `cannot ${what}: no broker answered for it`)
  const fault = faultOfCode(one.errorCode, what)
  if (fault !== undefined) throw fault
}

/** `host:port` without the port and without brackets. */
function hostOf(broker: string): string {
  return broker.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}

type ClientOptions = ProducerOptions<Buffer, Buffer, Buffer, Buffer>

function clientOptions(options: KafkaConnection): ClientOptions {
  const { brokers, clientId, requestTimeoutMs, tls, sasl } = options
  const made: ClientOptions = {
    clientId,
    bootstrapBrokers: [...brokers],
    autocreateTopics: false,
    retries: 1,
    retryDelay: 200,
    timeout: requestTimeoutMs,
    connectTimeout: CONNECT_MS,
    requestTimeout: requestTimeoutMs,
  }
  if (tls !== undefined) {
    const { ca, cert, key, serverName, insecure } = tls
    made.tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      rejectUnauthorized: insecure !== true,
    }
    // An address is no name that may be sent; certificates are checked against it all the same.
    made.tlsServerName = serverName ?? !brokers.every((broker) => isIP(hostOf(broker)) > 0)
  }
  if (sasl !== undefined) {
    const mechanism = MECHANISMS[sasl.mechanism]
    made.sasl = { mechanism, username: sasl.username, password: sasl.password }
  }
  return made
}

const MECHANISMS = {
  plain: 'PLAIN',
  'scram-sha-256': 'SCRAM-SHA-256',
  'scram-sha-512': 'SCRAM-SHA-512',
} as const
