/**
 * The driver with kafkajs 2.2.4: its connections (TLS, SASL), metadata and errors, but our record batches, because its encoder
 * is slow. Workarounds for its known faults (docs/reference/kafka.md): one topic and partition per send, so that its retry cannot
 * skip a broker; responses are checked; the idle timer is fixed; errors of topics are separate; connections are repaired
 * (`kafkajs-connections.ts`).
 */
import kafkajs from 'kafkajs'
import type { KafkaConfig, logCreator, Producer } from 'kafkajs'
import { setTimeout as pause } from 'node:timers/promises'
import { codecOf, CODEC_IDS } from './codecs.ts'
import type { Compress } from './codecs.ts'
import { MOVED_MS, partitionsOf } from './driver.ts'
import type { DriverDeps, KafkaDriver, KafkaRecord, Partitions } from './driver.ts'
import { faultOf, faultOfCode, KafkaFault, unlessThere, unwritten } from '../faults.ts'
import { acceptReadyBatches, ReadyBatch } from './kafkajs-batches.ts'
import { firstBroker, refusalOf, Sockets } from './kafkajs-connections.ts'
import { guardKafkajs } from './kafkajs-guard.ts'
import { logTo } from './kafkajs-log.ts'
import { loginOf } from './kafkajs-login.ts'
import type { KafkaConnection } from '../connection.ts'
import { NOBODY, RecordBatchWriter, sequenceAfter } from './record-batch.ts'

/** Retries of connections and metadata: 0.1 + 0.2 + 0.4 + 0.8 s. */
const RETRY = { initialRetryTime: 100, multiplier: 2, factor: 0.2, maxRetryTime: 1000, retries: 4 }
const CONNECT_MS = 5000

interface Session {
  readonly producer: Producer
  /** Next sequence number of this producer by `topic/partition`; used with idempotence. */
  readonly sequences: Map<string, number>
}

export class KafkajsDriver implements KafkaDriver {
  readonly #log: logCreator
  readonly #codec: { readonly id: number; readonly compress: Compress | undefined }
  readonly #writer = new RecordBatchWriter()
  #connection: KafkaConnection
  #sockets = new Sockets()
  #client: InstanceType<typeof kafkajs.Kafka>
  /** The first broker to try: the last one that accepted us. */
  readonly #first = { index: 0, failed: false }
  /** Connected or connecting. */
  #session: Promise<Session> | undefined
  #closed = false

  constructor(connection: KafkaConnection, deps: DriverDeps) {
    guardKafkajs()
    acceptReadyBatches()
    this.#codec = {
      id: CODEC_IDS[connection.compression],
      compress: codecOf(connection.compression, deps.compressors, deps.codec),
    }
    this.#log = logTo(deps.warn)
    this.#connection = connection
    this.#client = this.#makeClient()
  }

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
      throw unwritten(faultOf(error, `ask ${brokers.join(', ')} for topics`))
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
  }

  async send(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<void> {
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
      // Not written; kafkajs has already asked for the new leader.
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
      // Its promise may resolve for records that it never sent (tulios/kafkajs#1303).
      if (answer === undefined)
        return new KafkaFault('retry', 'NOT_ANSWERED', `cannot ${what}: no broker answered for it`)
      return faultOfCode(answer.errorCode, what)
    } catch (error) {
      return unlessThere(faultOf(error, what))
    }
  }

  async reset(connection: KafkaConnection = this.#connection): Promise<void> {
    this.#connection = connection
    const ended = this.#disconnect()
    this.#sockets = new Sockets()
    this.#client = this.#makeClient()
    await ended
  }

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
    return firstBroker(brokers[this.#first.index % brokers.length] ?? '')
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
    ...(tls === undefined
      ? {}
      : {
          ssl: {
            ...tls.pem,
            ...(tls.server_name === undefined ? {} : { servername: tls.server_name }),
            rejectUnauthorized: !tls.insecure_skip_verify,
          },
        }),
    ...(sasl === undefined ? {} : { sasl: loginOf(sasl) }),
  }
}
