/**
 * A client of Kafka by kafkajs 2.2.4: its connections (TLS, SASL), metadata and errors, but our record batches, because its encoder
 * is slow. Workarounds for its known faults:
 *
 * - A send has one topic and partition. With two brokers, of which one fails, a retry of kafkajs can skip a partition that has moved to the
 *   broker that has already answered, and report success (tulios/kafkajs#1303).
 * - Its own retries are off unless idempotent: they partition records without a key anew.
 * - Responses are checked. Errors of topics are separate. The idle timer is fixed (`guard.ts`), connections are repaired (`repairs.ts`).
 */
import kafkajs from 'kafkajs'
import type { KafkaConfig, logCreator, Producer } from 'kafkajs'
import { setTimeout as pause } from 'node:timers/promises'
import type { Codec } from './codecs.ts'
import type { KafkaConnection } from './connection.ts'
import { faultOf, faultOfCode, KafkaFault, missingTopic, unlessThere, UNKNOWN_TOPIC, unwritten } from './faults.ts'
import { guardKafkajs } from './guard.ts'
import { logTo } from './log.ts'
import { loginOf } from './login.ts'
import { acceptReadyBatches, ReadyBatch } from './produce-request.ts'
import { NOBODY, RecordBatchWriter, sequenceAfter } from './record-batch.ts'
import type { Records } from './record-batch.ts'
import { refusalOf } from './repairs.ts'
import { seedOf, Sockets } from './sockets.ts'

/** Retries of connections and metadata: 0.1 + 0.2 + 0.4 + 0.8 s. */
const RETRY = { initialRetryTime: 100, multiplier: 2, factor: 0.2, maxRetryTime: 1000, retries: 4 }
const CONNECT_MS = 5000
/** Waits before asking again for the leader of a moved partition: elections take a few 100 ms. */
const MOVED_MS: readonly number[] = [100, 200, 400, 800]

/** The number of partitions, or the fault, of each requested topic. */
export type Partitions = ReadonlyMap<string, number | KafkaFault>

export interface ClientDeps {
  /** Receives the library's warnings. */
  readonly warn: (message: string) => void
  readonly codec: Codec
}

interface Session {
  readonly producer: Producer
  /** Next sequence number of this producer by `topic/partition`; used with idempotence. */
  readonly sequences: Map<string, number>
}

/** All methods only reject with KafkaFault. */
export class KafkaClient {
  readonly #log: logCreator
  readonly #codec: Codec
  readonly #writer = new RecordBatchWriter()
  #connection: KafkaConnection
  #sockets = new Sockets()
  #client: InstanceType<typeof kafkajs.Kafka>
  /** The first broker to try: the last one that accepted us. */
  readonly #first = { index: 0, failed: false }
  /** Connected or connecting. */
  #session: Promise<Session> | undefined
  #closed = false

  constructor(connection: KafkaConnection, { warn, codec }: ClientDeps) {
    guardKafkajs()
    acceptReadyBatches()
    this.#codec = codec
    this.#log = logTo(warn)
    this.#connection = connection
    this.#client = this.#makeClient()
  }

  /**
   * Requests the number of partitions of all topics at once, with a fault per topic. Only here UNKNOWN_TOPIC_OR_PARTITION is of
   * kind `config`; elsewhere it may mean that the leader moved.
   */
  async partitions(topics: readonly string[]): Promise<Partitions> {
    this.#checkOpen()
    const { brokers } = this.#connection
    const admin = this.#client.admin({ retry: RETRY })
    try {
      await admin.connect()
      this.#first.failed = false
      const answer = await admin.fetchTopicMetadata({ topics: [...topics] })
      const found = new Map(answer.topics.map(({ name, partitions }) => [name, partitions]))
      return new Map(
        topics.map((topic) => {
          const partitions = found.get(topic) ?? []
          return [topic, partitionsOf(topic, brokers, refusalOf(partitions), partitions.length)]
        }),
      )
    } catch (error) {
      throw unwritten(faultOf(error, `request topics from ${brokers.join(', ')}`))
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
  }

  /**
   * Writes the records as one batch to a partition; resolves when the brokers have acknowledged all. At most one call per
   * partition at a time. Connects if needed.
   */
  async send(topic: string, partition: number, records: Records): Promise<void> {
    const what = `write to topic "${topic}", partition ${partition}`
    const { producer, sequences } = await this.#connected(what)
    const name = `${topic}/${partition}`
    const sequence = sequences.get(name) ?? 0
    const { idempotent } = this.#connection
    let tried = false
    const batch = new ReadyBatch(partition, (identity) => {
      tried = true
      return this.#writer.write(records, this.#codec, idempotent ? { ...identity, sequence } : NOBODY)
    })
    for (let attempt = 0; ; attempt++) {
      const fault = await this.#produce(producer, topic, batch, what)
      if (fault === undefined) break
      const wait = MOVED_MS[attempt]
      // The records are not written; kafkajs has already requested the new leader.
      if (fault.kind !== 'moved' || wait === undefined) throw tried ? fault : unwritten(fault)
      await pause(wait)
      this.#checkOpen()
    }
    if (idempotent) sequences.set(name, sequenceAfter(sequence, records.length))
  }

  async #produce(producer: Producer, topic: string, batch: ReadyBatch, what: string): Promise<KafkaFault | undefined> {
    const { acks, request_timeout } = this.#connection
    try {
      const answers = await producer.send({
        topic,
        messages: [batch],
        acks: acks === 'all' ? -1 : 1,
        timeout: request_timeout,
      })
      const answer = answers.find((one) => one.topicName === topic && one.partition === batch.partition)
      // kafkajs may resolve for records that it never sent (tulios/kafkajs#1303).
      if (answer === undefined)
        return new KafkaFault('retry', 'NOT_ANSWERED', `cannot ${what}: no broker answered for it`)
      return faultOfCode(answer.errorCode, what)
    } catch (error) {
      return unlessThere(faultOf(error, what))
    }
  }

  /**
   * Drops connections and the producer's identity; running calls fail soon. The next call reconnects, with the credentials of
   * `connection`.
   */
  async reset(connection: KafkaConnection = this.#connection): Promise<void> {
    this.#connection = connection
    const ended = this.#disconnect()
    this.#sockets = new Sockets()
    this.#client = this.#makeClient()
    await ended
  }

  /** Like reset, permanently. A second call does nothing. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#disconnect()
  }

  async #disconnect(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    // Otherwise it would wait for running requests.
    this.#sockets.destroy()
    await session?.then(({ producer }) => producer.disconnect()).catch(() => undefined)
  }

  #makeClient(): InstanceType<typeof kafkajs.Kafka> {
    return new kafkajs.Kafka({
      ...configOf(this.#connection, this.#log),
      brokers: () => [this.#firstBroker()],
      socketFactory: this.#sockets.factory,
    })
  }

  /** Returns another broker if called again before a connection succeeds, because the last one failed. */
  #firstBroker(): string {
    const { brokers } = this.#connection
    if (this.#first.failed) this.#first.index++
    this.#first.failed = true
    return seedOf(brokers[this.#first.index % brokers.length] ?? '')
  }

  #connected(what: string): Promise<Session> {
    this.#checkOpen()
    this.#session ??= this.#connect(what)
    return this.#session
  }

  async #connect(what: string): Promise<Session> {
    const producer = this.#client.producer({
      // The sending chain retries and counts possible duplicates. An idempotent producer may retry, and kafkajs requires it.
      retry: { ...RETRY, retries: this.#connection.idempotent ? 1 : 0 },
      allowAutoTopicCreation: false,
      idempotent: this.#connection.idempotent,
      // Sequence numbers are assigned before the write: a second request in flight could overtake a retry.
      ...(this.#connection.idempotent ? { maxInFlightRequests: 1 } : {}),
      // Never called, because every message has a partition; only avoids a warning.
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    })
    try {
      await producer.connect()
      this.#first.failed = false
      return { producer, sequences: new Map() }
    } catch (error) {
      this.#session = undefined
      await producer.disconnect().catch(() => undefined)
      throw unwritten(faultOf(error, what))
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new KafkaFault('retry', 'CLOSED', 'the connection to Kafka is closed')
  }
}

/** For a client in memory, too. */
export type Client = Pick<KafkaClient, keyof KafkaClient>

/** A topic in a metadata response: its error code, 0 for none, and its partitions. */
function partitionsOf(topic: string, brokers: readonly string[], code: number, count: number): number | KafkaFault {
  const what = `request topic "${topic}" from ${brokers.join(', ')}`
  const fault = faultOfCode(code, what)
  if (fault === undefined && count > 0) return count
  return fault === undefined || fault.code === UNKNOWN_TOPIC ? missingTopic(what) : fault
}

function configOf(connection: KafkaConnection, log: logCreator): Omit<KafkaConfig, 'brokers'> {
  const { client_id, request_timeout, tls, sasl } = connection
  return {
    clientId: client_id,
    connectionTimeout: Math.min(CONNECT_MS, request_timeout),
    authenticationTimeout: CONNECT_MS,
    requestTimeout: request_timeout,
    retry: RETRY,
    logLevel: kafkajs.logLevel.WARN,
    logCreator: log,
    ...(tls && {
      ssl: {
        ...tls.pem,
        ...(tls.server_name === undefined ? {} : { servername: tls.server_name }),
        rejectUnauthorized: !tls.insecure_skip_verify,
      },
    }),
    ...(sasl && { sasl: loginOf(sasl) }),
  }
}
