/**
 * The gRPC server of the agent: Tetragon's services, and gRPC's health and reflection. Loaded with the first client (`listener.ts`).
 *
 * Clients may be hostile. Requests, the streams of a connection and the queue of each client are bounded; none of them slows the agent.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { TlsContents } from '../../exporters/index.ts'
import { Readers } from './events/readers.ts'
import type { ReaderCounts } from './events/reader-counts.ts'
import type { Connections } from './listener.ts'
import type { ApiOptions, CountCalls } from './options.ts'
import { FineGuidanceSensors } from '../proto/tetragon/sensors_pb.js'
import { Methods } from './rpc.ts'
import { addDebug } from './services/debug.ts'
import { addExporters } from './services/exporters.ts'
import { addInfo } from './services/info.ts'
import { addPolicies } from './services/policies.ts'
import { addRuntimeHook } from './services/runtime-hook.ts'
import { Health, addReflection } from './services/standard.ts'
import { addWatches } from './services/watches.ts'

/** A policy may have 256 KiB, and one that is somewhat larger is refused in a sentence of its own. */
const MAX_REQUEST_BYTES = 512 << 10

const OPTIONS = {
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  // Answers are made by the agent.
  'grpc.max_send_message_length': -1,
  // Room to estimate the largest bundle, and fewer than the readers of all clients.
  'grpc.max_concurrent_streams': 48,
  // In MB (10^6 bytes), of one connection.
  'grpc-node.max_session_memory': 10,
  // Finds clients that have vanished.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.enable_channelz': 0,
}

/**
 * Streams that a client may reset: at once, and per second after them. Its connection is closed above that (CVE-2023-44487). Node allows 1000 at
 * once, which held the event loop for half a second.
 */
const RESETS = { streamResetBurst: 100, streamResetRate: 33 }

/** `tls`: PEM; without it connections are not encrypted: only for a Unix socket. `counts`: of the readers. */
export function serverOf(
  options: ApiOptions,
  counts: ReaderCounts,
  tls: TlsContents | undefined,
  count: CountCalls,
): Connections {
  const { delivery, policies, ingest, log, ready } = options
  const server = new Server(OPTIONS)
  // grpc-js has no option for what it passes to Node.
  Object.assign((server as unknown as { readonly commonServerOptions: object }).commonServerOptions, RESETS)
  const methods = new Methods(server, log, count)
  const readers = new Readers(options, counts)
  methods.serverStream(FineGuidanceSensors.method.getEvents, (call) => readers.stream(call))
  addPolicies(methods, options)
  addWatches(methods, policies, readers)
  addExporters(methods, delivery)
  addInfo(methods, options)
  addRuntimeHook(methods, options)
  addDebug(methods, { log, processes: ingest.processes, encoder: readers.encoder })
  const health = new Health(methods, ready)
  addReflection(methods)
  const injector = server.createConnectionInjector(credentialsOf(tls))
  return {
    accept: (socket) => injector.injectConnection(socket),
    drain: (graceMs) => {
      health.end()
      injector.drain(graceMs)
    },
    end: () => server.forceShutdown(),
  }
}

function credentialsOf(tls: TlsContents | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure()
  const { ca = '', cert = '', key = '' } = tls
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }
  return ServerCredentials.createSsl(Buffer.from(ca), [pair], true)
}
