/**
 * What a connection of kafkajs 2.2.4 does wrong, mended in its prototype; what concerns only us is done only for the
 * connections of our `Sockets`.
 *
 * - It keeps half an answer of a dead socket and reads the next one's answers behind it; what it then throws, as for any
 *   answer that is none, ends the process, for it is thrown in a handler of the socket.
 * - A request on a socket that is gone already, or in a login that the broker cuts, waits for ever.
 * - A broker that accepts and says nothing is asked again and again, instead of the next one; and it stays connected.
 * - An error of one topic or partition in the metadata hides all others: the answer is taken apart here instead.
 */
import { createRequire } from 'node:module'
import { connect, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import kafkajs from 'kafkajs'
import type { ISocketFactory } from 'kafkajs'
import { textOf } from '../../../contract/errors.ts'

const KEEP_ALIVE_MS = 60_000
const LENGTH_BYTES = 4
const GIVEN_UP = 'this connection is given up'
const METADATA = 3
/** ApiVersions, SaslHandshake, SaslAuthenticate: they belong to connecting and have its time, not that of a request. */
const LOGIN: ReadonlySet<number> = new Set([18, 17, 36])

interface TopicMetadata {
  readonly topicErrorCode: number
  readonly partitionMetadata: readonly object[]
}
interface Metadata {
  readonly topicMetadata: readonly TopicMetadata[]
}
interface Sent {
  readonly request: { readonly apiKey: number; readonly apiName: string }
  readonly response: object
}
interface Connection {
  readonly broker: string
  readonly socketFactory: ISocketFactory
  readonly connectionTimeout: number
  readonly authHandlers: { onError(): void } | null
  socket: Socket | undefined
  chunks: Buffer[]
  bytesBuffered: number
  bytesNeeded: number
  isConnected(): boolean
  connect(): Promise<unknown>
  send(sent: Sent): Promise<unknown>
  processData(data: Buffer): void
  failIfNotConnected(): void
  rejectRequests(error: Error): void
}

const ours = new WeakSet<ISocketFactory>()
const refusals = new WeakMap<object, number>()

/** Kafka's number of what is wrong with a topic whose partitions were asked for; 0 for nothing. */
export function refusalOf(partitions: object): number {
  return refusals.get(partitions) ?? 0
}

/** The sockets of one client, so that all can be ended at once. */
export class Sockets {
  readonly factory: ISocketFactory
  readonly #open = new Set<Socket>()
  #ended = false

  constructor() {
    this.factory = ({ host, port, ssl, onConnect }) => this.#connect(host, port, ssl, onConnect)
    ours.add(this.factory)
  }

  /** Whatever is in flight fails, and whatever connects later. */
  destroy(): void {
    this.#ended = true
    for (const socket of this.#open) socket.destroy(new Error(GIVEN_UP))
  }

  #connect(host: string, port: number, ssl: object | undefined, onConnect: () => void): Socket {
    // An address is no name that may be sent; certificates are checked against it all the same.
    const socket = ssl
      ? connectTls({ host, port, ...(isIP(host) > 0 ? {} : { servername: host }), ...ssl }, onConnect)
      : connect({ host, port }, onConnect)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    if (this.#ended) socket.destroy(new Error(GIVEN_UP))
    return socket
  }
}

/** Mends the prototype; to be called once, for a version whose code is known. */
export function repairConnections(): void {
  const prototype = connectionPrototype()
  const { connect: open, send, processData, failIfNotConnected } = prototype

  prototype.connect = function connectClean(): Promise<unknown> {
    if (this.isConnected()) return open.call(this)
    this.chunks = []
    this.bytesBuffered = 0
    this.bytesNeeded = LENGTH_BYTES
    const connecting = open.call(this)
    const { socket } = this
    socket?.once('close', () => {
      if (this.socket !== socket) return
      this.authHandlers?.onError()
      this.rejectRequests(errorOf(this, 'Connection closed'))
    })
    return connecting
  }

  prototype.processData = function processGuarded(data): void {
    try {
      processData.call(this, data)
    } catch (error) {
      this.socket?.destroy(new Error(`expected an answer of Kafka, got something else (${textOf(error)})`))
    }
  }

  prototype.failIfNotConnected = function failIfGone(): void {
    if (this.socket?.destroyed === true) throw errorOf(this, 'Not connected')
    failIfNotConnected.call(this)
  }

  prototype.send = async function sendInTime(sent): Promise<unknown> {
    const { apiKey, apiName } = sent.request
    const eachOwn = apiKey === METADATA && ours.has(this.socketFactory)
    const tooLate = (): void =>
      void this.socket?.destroy(new Error(`no answer to ${apiName} in ${this.connectionTimeout} ms`))
    const timer = LOGIN.has(apiKey) ? setTimeout(tooLate, this.connectionTimeout) : undefined
    try {
      return await send.call(this, eachOwn ? { ...sent, response: { ...sent.response, parse: takeApart } } : sent)
    } catch (error) {
      // Whoever is silent once is not asked the next thing on the same connection.
      if (error instanceof kafkajs.KafkaJSRequestTimeoutError) this.socket?.destroy(error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

/** A topic with an error has no partitions, and the error is found by them; a partition with an error has no leader. */
function takeApart(data: Metadata): Promise<Metadata> {
  const topicMetadata = data.topicMetadata.map((topic) => {
    if (topic.topicErrorCode === 0) return topic
    const partitionMetadata: object[] = []
    refusals.set(partitionMetadata, topic.topicErrorCode)
    return { ...topic, partitionMetadata }
  })
  return Promise.resolve({ ...data, topicMetadata })
}

function errorOf({ broker }: Connection, message: string): Error {
  return new kafkajs.KafkaJSConnectionError(message, { broker })
}

function connectionPrototype(): Connection {
  const loaded: unknown = createRequire(import.meta.url)('kafkajs/src/network/connection')
  if (typeof loaded === 'function' && isConnection(loaded.prototype)) return loaded.prototype
  throw new Error('kafkajs: its connection is not where it was; reinstall the package')
}

function isConnection(value: unknown): value is Connection {
  return typeof value === 'object' && value !== null && 'processData' in value
}
