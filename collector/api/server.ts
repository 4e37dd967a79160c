/**
 * The gRPC server of the agent: Tetragon's services, and gRPC's health and reflection.
 *
 * Clients may be hostile. Requests, connections, their streams and what waits for each client are bounded; none of them slows the agent.
 */
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { Address } from '../../config/yaml/addresses.ts'
import { systemClock, waitAtMost } from '../../exporters/index.ts'
import { listenAt } from '../host/listen.ts'
import type { Log } from '../telemetry/log.ts'
import { Methods } from './rpc.ts'
import { Health, addReflection } from './services/standard.ts'

/** The certificates of a server on a host and port, in PEM. */
export interface ServerTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface ServerOptions {
  readonly address: Address
  /** Without it connections are not encrypted: only for a Unix socket. */
  readonly tls: ServerTls | undefined
  readonly ready: () => boolean
  readonly log: Pick<Log, 'error'>
}

/** Further ones are closed at once. */
const MAX_CONNECTIONS = 128
/** A policy may have 256 KiB, and one that is somewhat larger is refused in a sentence of its own. */
const MAX_REQUEST_BYTES = 512 << 10
/** Time for clients to read what they still get when the agent stops. */
const GOODBYE_MS = 500

const OPTIONS = {
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  // Answers are made by the agent.
  'grpc.max_send_message_length': -1,
  'grpc.max_concurrent_streams': 64,
  'grpc.max_metadata_size': 16 << 10,
  // In MB (10^6 bytes), of one connection.
  'grpc-node.max_session_memory': 10,
  // Finds clients that have vanished.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.enable_channelz': 0,
}

export class ApiServer implements AsyncDisposable {
  /** The listening address, in the config's notation. */
  readonly address: string
  readonly #close: () => Promise<void>

  private constructor(address: string, close: () => Promise<void>) {
    this.address = address
    this.#close = close
  }

  /** Listens and answers until disposed. `add`: adds the services. Throws CollectorError LISTEN_FAILED with the address. */
  static async start({ address, tls, ready, log }: ServerOptions, add: (methods: Methods) => void): Promise<ApiServer> {
    const server = new Server(OPTIONS)
    const methods = new Methods(server, log)
    add(methods)
    const health = new Health(methods, ready)
    addReflection(methods)
    const injector = server.createConnectionInjector(credentialsOf(tls))
    const open = new Set<Socket>()
    const listener = createServer((socket) => {
      open.add(socket)
      socket.once('close', () => open.delete(socket))
      injector.injectConnection(socket)
    })
    listener.maxConnections = MAX_CONNECTIONS
    const bound = await listenAt(listener, address, 'server.grpc')
    return new ApiServer(bound, async () => {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()))
      health.end()
      // No new streams; those that run may end.
      injector.drain(GOODBYE_MS)
      await waitAtMost(closed, GOODBYE_MS, systemClock)
      server.forceShutdown()
      for (const socket of open) socket.destroy()
      await closed
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close()
  }
}

function credentialsOf(tls: ServerTls | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure()
  const pair = { cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }
  return ServerCredentials.createSsl(Buffer.from(tls.ca), [pair], true)
}
