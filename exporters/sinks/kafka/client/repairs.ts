/**
 * Repairs faults of kafkajs 2.2.4's connections in their prototype; changes for us alone only affect connections of our `Sockets`.
 *
 * - It keeps half a response of a dead socket and appends the next socket's responses. The resulting exception in a socket
 *   handler ends the process, as with any invalid response.
 * - A request on a closed socket, or during a login that the broker aborts, waits forever.
 * - It stays connected to a broker that accepts connections but never answers, and retries it instead of the next one.
 * - An error of one topic or partition in the metadata hides all others: the response is parsed here instead.
 */
import type { Socket } from 'node:net'
import kafkajs from 'kafkajs'
import type { ISocketFactory } from 'kafkajs'
import { textOf } from '../../../contract/errors.ts'
import { insideOf } from './internals.ts'
import { isOurs } from './sockets.ts'

const LENGTH_BYTES = 4
const METADATA = 3
/** ApiVersions, SaslHandshake, SaslAuthenticate: part of connecting, so they use its timeout. */
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

const refusals = new WeakMap<object, number>()

/** Kafka's error code of a requested topic; 0 for none. */
export function refusalOf(partitions: object): number {
  return refusals.get(partitions) ?? 0
}

/** Repairs the prototype; call once, for a known version. */
export function repairConnections(): void {
  const prototype = insideOf<Connection>('network/connection', 'processData')
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
    const eachOwn = apiKey === METADATA && isOurs(this.socketFactory)
    const tooLate = (): void =>
      void this.socket?.destroy(new Error(`no answer to ${apiName} in ${this.connectionTimeout} ms`))
    const timer = LOGIN.has(apiKey) ? setTimeout(tooLate, this.connectionTimeout) : undefined
    try {
      return await send.call(this, eachOwn ? { ...sent, response: { ...sent.response, parse: takeApart } } : sent)
    } catch (error) {
      // After one timeout the connection is not used again.
      if (error instanceof kafkajs.KafkaJSRequestTimeoutError) this.socket?.destroy(error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Replaces topics with an error by empty ones (the error is looked up later), and drops the leader of partitions with an error. */
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
