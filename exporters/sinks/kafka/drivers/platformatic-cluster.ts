/**
 * Connections of @platformatic/kafka, and the leaders of partitions. The library's own metadata request fails for all topics if
 * one is missing, forbidden or has a partition without a leader; here each topic has its own result.
 */
import { ConnectionPool, metadataV9, ResponseError } from '@platformatic/kafka'
import type { Broker, Connection, ConnectionOptions } from '@platformatic/kafka'
import { isIP } from 'node:net'
import type { KafkaConnection } from '../connection.ts'
import { guardPlatformatic } from './platformatic-guard.ts'

const CONNECT_MS = 5000
/** The first broker may hang, so the next search begins at another. */
const ASKED = 2

type Metadata = Awaited<ReturnType<typeof metadataV9.api.async>>
export type Topic = Metadata['topics'][number]

export class Cluster {
  readonly #bootstrap: readonly Broker[]
  /** An IP address must not be sent as TLS server name; certificates are still checked against it. */
  readonly #pools: { readonly names: ConnectionPool; readonly addresses: ConnectionPool }
  readonly #asking = new Map<string, Promise<Topic | undefined>>()
  readonly #topics = new Map<string, Topic>()
  #brokers = new Map<number, Broker>()
  /** Index of the broker at which the next search begins. */
  #first = 0

  constructor(options: KafkaConnection) {
    guardPlatformatic()
    const made = connectionOptions(options)
    const tlsServerName = options.tls?.server_name
    this.#bootstrap = options.brokers.map(brokerOf)
    this.#pools = {
      names: new ConnectionPool(options.client_id, { ...made, tlsServerName: tlsServerName ?? true }),
      addresses: new ConnectionPool(options.client_id, { ...made, tlsServerName: tlsServerName ?? false }),
    }
  }

  /** One request for all topics, with a fault per topic. Rejects if no broker answers. */
  async ask(topics: readonly string[]): Promise<ReadonlyMap<string, Topic>> {
    const { brokers, topics: found } = await this.#metadata(topics)
    this.#brokers = new Map(brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    for (const topic of found) this.#topics.set(topic.name, topic)
    return new Map(found.map((topic) => [topic.name, topic]))
  }

  /** The connection to the leader; undefined without one. */
  async leader(name: string, partition: number): Promise<Connection | undefined> {
    const topic = this.#topics.get(name) ?? (await this.#askOnce(name))
    const leaderId = topic?.partitions.find(({ partitionIndex }) => partitionIndex === partition)?.leaderId ?? -1
    const broker = this.#brokers.get(leaderId)
    return broker === undefined ? undefined : this.#connect(broker)
  }

  /** Makes the next use ask for the leader again. */
  forget(topic: string): void {
    this.#topics.delete(topic)
  }

  /** A connection to the first reachable broker. */
  async any(): Promise<Connection> {
    const known = [...this.#bootstrap, ...this.#brokers.values()]
    const first = this.#first % known.length
    const errors: unknown[] = []
    for (const broker of [...known.slice(first), ...known.slice(0, first)]) {
      try {
        return await this.#connect(broker)
      } catch (error) {
        errors.push(error)
      }
    }
    throw new AggregateError(errors, 'no broker can be reached')
  }

  /** Running requests fail. */
  async close(): Promise<void> {
    const pools = Object.values(this.#pools)
    for (const pool of pools) for (const [, connection] of pool) connection.socket?.destroy()
    await Promise.all(pools.map((pool) => pool.close().catch(() => undefined)))
  }

  async #metadata(topics: readonly string[]): Promise<Metadata> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await metadataV9.api.async(await this.any(), [...topics], false, false, false)
      } catch (error) {
        const answer = error instanceof ResponseError ? error['response'] : undefined
        if (isMetadata(answer)) return answer
        this.#first++
        if (attempt === ASKED) throw error
      }
    }
  }

  /** Partition batches of a topic share one request. */
  #askOnce(name: string): Promise<Topic | undefined> {
    const going = this.#asking.get(name)
    if (going !== undefined) return going
    const asking = this.ask([name])
      .then((found) => found.get(name))
      .finally(() => this.#asking.delete(name))
    this.#asking.set(name, asking)
    return asking
  }

  #connect(broker: Broker): Promise<Connection> {
    return this.#pools[isIP(broker.host) > 0 ? 'addresses' : 'names'].get(broker)
  }
}

function isMetadata(value: unknown): value is Metadata {
  return typeof value === 'object' && value !== null && 'topics' in value && 'brokers' in value
}

/** Of `host:port`, an IPv6 host in brackets. */
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
