/**
 * Connections of @platformatic/kafka to the leaders of a topic's partitions, and what the library lacks.
 *
 * - A connection that is lost during a login emits `error` twice, but its pool listens only once, so Node would end the process. Here each
 *   gets a permanent listener; requests still get the error through their callback.
 * - Its answers have no bound. Requests on a connection that ends for that would only report that it was closed: they get the cause here.
 */
import { Connection, ConnectionPool, metadataV9, ResponseError } from '@platformatic/kafka'
import type { Broker, ConnectionOptions } from '@platformatic/kafka'
import { subscribe } from 'node:diagnostics_channel'
import { isIP } from 'node:net'
import { TLSSocket } from 'node:tls'
import { AnswerTooLarge } from '../../config/base/answers.ts'
import { boundAnswers } from '../sinks/kafka/client/bounded-answers.ts'
import type { KafkaConnection } from '../sinks/kafka/client/connection.ts'

const CONNECT_MS = 5000
/** The first broker may hang, so the next search begins at another. */
const ASKED = 2

type Metadata = Awaited<ReturnType<typeof metadataV9.api.async>>
type Topic = Metadata['topics'][number]

let guarded = false

export class Cluster {
  readonly #name: string
  readonly #bootstrap: readonly Broker[]
  #named: readonly Broker[] = []
  /** An IP address must not be sent as TLS server name; certificates are still checked against it. */
  readonly #pools: { readonly names: ConnectionPool; readonly addresses: ConnectionPool }
  /** The answer about the topic; undefined if it has to be requested. */
  #known: Metadata | undefined
  /** Index of the broker at which the next search begins. */
  #first = 0

  constructor(topic: string, options: KafkaConnection) {
    guardConnections()
    const made = connectionOptions(options)
    const tlsServerName = options.tls?.server_name
    this.#name = topic
    this.#bootstrap = options.brokers.map(brokerOf)
    this.#pools = {
      names: new ConnectionPool(options.client_id, { ...made, tlsServerName: tlsServerName ?? true }),
      addresses: new ConnectionPool(options.client_id, { ...made, tlsServerName: tlsServerName ?? false }),
    }
  }

  /** The topic with its partitions or its error code; undefined without an answer about it. Rejects if no broker answers. */
  async topic(): Promise<Topic | undefined> {
    if (this.#known === undefined) {
      this.#known = await this.#metadata()
      this.#named = this.#known.brokers
    }
    return this.#known.topics.find(({ name }) => name === this.#name)
  }

  /** The connection to the leader of a partition. Rejects without one. */
  async leader(partition: number): Promise<Connection> {
    const topic = await this.topic()
    const leaderId = topic?.partitions.find(({ partitionIndex }) => partitionIndex === partition)?.leaderId
    const broker = this.#known?.brokers.find(({ nodeId }) => nodeId === leaderId)
    if (broker === undefined) throw new Error(`partition ${partition} has no leader; try again later`)
    return this.#connect(broker)
  }

  /** Makes the next use request the leaders again. */
  forget(): void {
    this.#known = undefined
  }

  /** Running requests fail. */
  async close(): Promise<void> {
    const pools = Object.values(this.#pools)
    for (const pool of pools) for (const [, connection] of pool) connection.socket?.destroy()
    await Promise.all(pools.map((pool) => pool.close().catch(() => undefined)))
  }

  async #metadata(): Promise<Metadata> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await metadataV9.api.async(await this.#any(), [this.#name], false, false, false)
      } catch (error) {
        // The library fails for a topic that is missing, forbidden or has a partition without a leader.
        const answer = error instanceof ResponseError ? error['response'] : undefined
        if (isMetadata(answer)) return answer
        this.#first++
        if (attempt === ASKED) throw error
      }
    }
  }

  /** A connection to the first reachable broker. */
  async #any(): Promise<Connection> {
    const brokers = [...this.#bootstrap, ...this.#named]
    const first = this.#first % brokers.length
    const errors: unknown[] = []
    for (const broker of [...brokers.slice(first), ...brokers.slice(0, first)]) {
      try {
        return await this.#connect(broker)
      } catch (error) {
        errors.push(error)
      }
    }
    throw new AggregateError(errors, 'no broker is reachable')
  }

  #connect({ host, port }: Broker): Promise<Connection> {
    return this.#pools[isIP(host) > 0 ? 'addresses' : 'names'].get({ host, port })
  }
}

function isMetadata(value: unknown): value is Metadata {
  return typeof value === 'object' && value !== null && 'topics' in value && 'brokers' in value
}

/** Host and port of `host:port`, with an IPv6 host in brackets. */
function brokerOf(text: string): Broker {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(text.slice(colon + 1)) }
}

function connectionOptions({ request_timeout, tls, sasl }: KafkaConnection): ConnectionOptions {
  const made: ConnectionOptions = { connectTimeout: CONNECT_MS, requestTimeout: request_timeout }
  if (tls !== undefined) made.tls = { ...tls.pem, rejectUnauthorized: !tls.insecure_skip_verify }
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

/** Applies the guard of all connections once per process. The library announces each one when it is made. */
export function guardConnections(): void {
  if (guarded) return
  guarded = true
  subscribe('plt:kafka:instances', (message) => {
    const made: unknown = typeof message === 'object' && message !== null ? Reflect.get(message, 'instance') : undefined
    if (made instanceof Connection) guard(made)
  })
}

function guard(connection: Connection): void {
  let refused: AnswerTooLarge | undefined
  connection.on('error', ({ cause }) => {
    if (cause instanceof AnswerTooLarge) refused = cause
  })
  connection.on('connecting', () => {
    // The socket is made after this event, and nothing is read from it before it is connected.
    process.nextTick(() => {
      const { socket } = connection
      socket?.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => boundAnswers(socket))
    })
  })
  const send: Connection['send'] = connection.send.bind(connection)
  connection.send = (key, version, payload, parser, inTags, outTags, callback) =>
    send(key, version, payload, parser, inTags, outTags, (error, answer) => {
      if (error !== null && refused !== undefined) error.cause ??= refused
      callback(error, answer)
    })
}
