/**
 * Listens for clients of the API. The modules that serve them (gRPC, protobuf, all messages: 20 MB, a tenth of a second) are loaded when the first one
 * connects, since most agents never have one, or by `load`.
 */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { Address } from '../../config/base/addresses.ts'
import { systemClock } from '../../config/base/time/clock.ts'
import { waitAtMost } from '../../config/base/time/deadline.ts'
import { peerOf } from '../../native/index.ts'
import { listenAt } from '../host/sockets/listen.ts'
import type { Log } from '../host/log.ts'
import type { CountCalls } from './options.ts'

/** Serves connections that it is given. */
export interface Connections {
  /** Also reads bytes of the socket that arrived earlier. */
  accept(socket: Socket): void
  /** Takes no new requests; running ones get `graceMs`. */
  drain(graceMs: number): void
  /** Ends all requests. */
  end(): void
}

export interface ListenerOptions {
  readonly address: Address
  /** Called with the first connection, and again with a later one if it fails. `count`: to be called for each call. */
  readonly load: (count: CountCalls) => Promise<Connections>
  readonly log: Pick<Log, 'error'>
}

/** One more displaces the oldest without an open call; if all have one, it is closed itself. */
const MAX_CONNECTIONS = 128
/** Time for clients to read their last answers when the agent stops. */
const GOODBYE_MS = 500

export class ApiListener implements AsyncDisposable {
  readonly #options: ListenerOptions
  readonly listener: Server = createServer((socket) => void this.#connected(socket))
  /** Oldest first, with their peers. */
  readonly #open = new Map<Socket, string>()
  /** Open calls by peer. */
  readonly #calls = new Map<string, number>()
  /** The address in the config's notation. */
  address = ''
  #loading: Promise<Connections> | undefined

  private constructor(options: ListenerOptions) {
    this.#options = options
  }

  /** Listens until disposed. Throws CollectorError LISTEN_FAILED with the address. */
  static async start(options: ListenerOptions): Promise<ApiListener> {
    const listener = new ApiListener(options)
    listener.address = await listenAt(listener.listener, options.address, 'server.grpc')
    return listener
  }

  /** Loads the code that serves clients, so that the first one does not wait. Never rejects: a failure is reported with the first client. */
  async load(): Promise<void> {
    this.#loading ??= this.#load()
    await this.#loading.catch(() => (this.#loading = undefined))
  }

  #load(): Promise<Connections> {
    return this.#options.load((peer, change) => {
      const calls = (this.#calls.get(peer) ?? 0) + change
      if (calls === 0) this.#calls.delete(peer)
      else this.#calls.set(peer, calls)
    })
  }

  async #connected(socket: Socket): Promise<void> {
    namePeer(socket)
    // The client may go before it is served.
    socket.on('error', () => {})
    if (this.#open.size >= MAX_CONNECTIONS) {
      const [oldest] = [...this.#open].find(([, peer]) => !this.#calls.has(peer)) ?? [socket]
      oldest.destroy()
      this.#open.delete(oldest)
    }
    if (socket.destroyed) return
    this.#open.set(socket, nameOf(socket))
    socket.once('close', () => this.#open.delete(socket))
    try {
      const connections = await (this.#loading ??= this.#load())
      if (!socket.destroyed) connections.accept(socket)
    } catch (error) {
      this.#loading = undefined
      socket.destroy()
      const next = "check that ktrail's files are complete and of the running version, then restart it"
      this.#options.log.error({ error: String(error) }, `a client of the API was not served: ${next}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.listener.close(() => resolve()))
    const connections = await this.#loading?.catch(() => undefined)
    connections?.drain(GOODBYE_MS)
    await waitAtMost(closed, GOODBYE_MS, systemClock)
    connections?.end()
    for (const socket of this.#open.keys()) socket.destroy()
    await closed
  }
}

/**
 * Gives the connection of a Unix socket the address `uid=… pid=…`, which gRPC then reports as the peer of each call. Such a connection itself has
 * no address. The kernel recorded both at the connect.
 */
function namePeer(socket: Socket): void {
  if (socket.remoteAddress !== undefined) return
  // Node has no other way to the descriptor.
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined
  if (typeof fd !== 'number' || fd < 0) return
  const { uid, pid } = peerOf(fd)
  Object.defineProperty(socket, 'remoteAddress', { value: `uid=${uid} pid=${pid}` })
}

/** The peer of calls on this connection, as gRPC reports it. */
function nameOf({ remoteAddress = '', remotePort }: Socket): string {
  return remotePort === undefined ? remoteAddress : `${remoteAddress}:${remotePort}`
}
