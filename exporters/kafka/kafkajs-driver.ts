/**
 * The driver on kafkajs 2.2.4, with guards against its known faults (export.md §5.1): one topic-partition a send and
 * the partition set by us, so that its retry cannot skip a broker; the answer is checked all the same; the idle timer
 * is tamed; a topic is known to exist before it is sent to, because a missing one would break every later refresh.
 */
import kafkajs from 'kafkajs'
import type { KafkaConfig, LogEntry, Message, Producer } from 'kafkajs'
import { codecOf, CODEC_IDS } from './codecs.ts'
import type { DriverDeps, KafkaDriver, KafkaRecord } from './driver.ts'
import { faultOf, KafkaFault, UNKNOWN_TOPIC } from './faults.ts'
import { guardKafkajs } from './kafkajs-guard.ts'
import type { CompressionName, KafkaConnection } from './options.ts'

/** The chain behind us retries without end: here only what a leader that moves needs, 0.1 + 0.2 + 0.4 + 0.8 s. */
const RETRY = { initialRetryTime: 100, multiplier: 2, factor: 0.2, maxRetryTime: 1000, retries: 4 }
const CONNECT_MS = 5000

export class KafkajsDriver implements KafkaDriver {
  readonly #connection: KafkaConnection
  readonly #client: InstanceType<typeof kafkajs.Kafka>
  /** The connected producer, or one that is connecting. */
  #producer: Promise<Producer> | undefined
  #closed = false

  constructor(connection: KafkaConnection, deps: DriverDeps) {
    guardKafkajs()
    useCodec(connection.compression)
    this.#connection = connection
    this.#client = new kafkajs.Kafka(configOf(connection, deps))
  }

  async partitions(topic: string): Promise<number> {
    this.#checkOpen()
    const admin = this.#client.admin({ retry: RETRY })
    const what = `ask ${this.#connection.brokers.join(', ')} for topic "${topic}"`
    try {
      await admin.connect()
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      const count = topics[0]?.partitions.length ?? 0
      if (count > 0) return count
    } catch (error) {
      throw faultOf(error, what)
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
    throw new KafkaFault('config', UNKNOWN_TOPIC, `cannot ${what}: it has no partitions; create it`)
  }

  async send(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<void> {
    const what = `write to topic "${topic}", partition ${partition}`
    const { acks, compression, requestTimeoutMs } = this.#connection
    const messages = records.map((record) => messageOf(record, partition))
    const producer = await this.#connected(what)
    try {
      const answers = await producer.send({
        topic,
        messages,
        acks: acks === 'all' ? -1 : 1,
        timeout: requestTimeoutMs,
        compression: CODEC_IDS[compression],
      })
      const answer = answers.find((one) => one.topicName === topic && one.partition === partition)
      // Its promise may resolve for records that it never sent (tulios/kafkajs#1303).
      if (answer === undefined)
        throw new KafkaFault('retry', 'NOT_ANSWERED', `cannot ${what}: no broker answered for it`)
      if (answer.errorCode !== 0) throw faultOf({ code: answer.errorCode, message: '' }, what)
    } catch (error) {
      throw faultOf(error, what)
    }
  }

  async reset(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    await producer?.then((connected) => connected.disconnect()).catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.reset()
  }

  #connected(what: string): Promise<Producer> {
    this.#checkOpen()
    this.#producer ??= this.#connect(what)
    return this.#producer
  }

  async #connect(what: string): Promise<Producer> {
    const producer = this.#client.producer({
      retry: RETRY,
      allowAutoTopicCreation: false,
      idempotent: this.#connection.idempotent,
      // Sequence numbers are taken before the write: a second request in flight could overtake a retry.
      ...(this.#connection.idempotent ? { maxInFlightRequests: 1 } : {}),
      // Never asked, for every message names its partition; named to silence a warning at start.
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    })
    try {
      await producer.connect()
      return producer
    } catch (error) {
      this.#producer = undefined
      await producer.disconnect().catch(() => undefined)
      throw faultOf(error, what)
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new KafkaFault('retry', 'CLOSED', 'the connection to Kafka is closed')
  }
}

function messageOf(record: KafkaRecord, partition: number): Message {
  const { key, value, common, own, timestampMs } = record
  return { key, value, headers: { ...common, ...own }, timestamp: String(timestampMs), partition }
}

function useCodec(name: CompressionName): void {
  const compress = codecOf(name)
  if (compress === undefined) return
  const codec = {
    compress: (encoder: { readonly buffer: Buffer }) => Promise.resolve(compress(encoder.buffer)),
    decompress: () => Promise.reject(new Error('this program only writes')),
  }
  Object.assign(kafkajs.CompressionCodecs, { [CODEC_IDS[name]]: () => codec })
}

function configOf(connection: KafkaConnection, { warn }: DriverDeps): KafkaConfig {
  const { brokers, clientId, requestTimeoutMs, tls, sasl } = connection
  return {
    brokers: [...brokers],
    clientId,
    connectionTimeout: CONNECT_MS,
    authenticationTimeout: CONNECT_MS,
    requestTimeout: requestTimeoutMs,
    retry: RETRY,
    logLevel: kafkajs.logLevel.WARN,
    logCreator: () => (entry) => warn(textOfLog(entry)),
    ...(tls === undefined
      ? {}
      : {
          ssl: {
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.cert === undefined ? {} : { cert: tls.cert }),
            ...(tls.key === undefined ? {} : { key: tls.key }),
            ...(tls.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
            ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
            rejectUnauthorized: tls.insecure !== true,
          },
        }),
    ...(sasl === undefined ? {} : { sasl: saslOf(sasl) }),
  }
}

function saslOf({
  mechanism,
  username,
  password,
}: NonNullable<KafkaConnection['sasl']>): NonNullable<KafkaConfig['sasl']> {
  // A union by mechanism: each has to be spelt out.
  switch (mechanism) {
    case 'plain':
      return { mechanism, username, password }
    case 'scram-sha-256':
      return { mechanism, username, password }
    case 'scram-sha-512':
      return { mechanism, username, password }
  }
}

function textOfLog({ namespace, log }: LogEntry): string {
  const error: unknown = log['error']
  return `kafkajs ${namespace}: ${log.message}${typeof error === 'string' && error !== log.message ? `: ${error}` : ''}`
}
