/** The agent's part that answers its API: events for live readers, policies at run time, and questions about the agent. */
import type { Config } from '../../config/agent/schema.ts'
import { readTlsFiles } from '../../exporters/index.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Ingest } from '../ingest/ingest.ts'
import type { KernelFacts } from '../kernel/facts.ts'
import type { Policies } from '../policies/registry.ts'
import type { Log } from '../telemetry/log.ts'
import { Readers } from './events/readers.ts'
import { FineGuidanceSensors } from './proto/tetragon/sensors_pb.js'
import type { Methods } from './rpc.ts'
import { ApiServer } from './server.ts'
import type { ServerTls } from './server.ts'
import { addDebug } from './services/debug.ts'
import { addExporters } from './services/exporters.ts'
import type { TappedDelivery } from './services/exporters.ts'
import { addInfo } from './services/info.ts'
import { addPolicies } from './services/policies.ts'

export interface ApiOptions {
  readonly delivery: Pick<Delivery, 'subscribe'> & TappedDelivery
  readonly ingest: Pick<Ingest, 'now' | 'processes'>
  readonly policies: Pick<Policies, 'list' | 'add' | 'remove' | 'enable' | 'disable'>
  readonly nodeName: string
  readonly config: Config
  readonly facts: KernelFacts
  readonly log: Log
  readonly ready: () => boolean
}

export class Api implements AsyncDisposable {
  readonly readers: Readers
  readonly #options: ApiOptions
  #server: ApiServer | undefined

  constructor(options: ApiOptions) {
    const { delivery, ingest, nodeName } = options
    this.#options = options
    this.readers = new Readers({
      delivery,
      lookup: (execId) => ingest.processes.named(execId),
      nodeName,
      now: () => ingest.now(),
    })
  }

  /**
   * Listens; returns the address, or undefined when the API is disabled. Throws CollectorError LISTEN_FAILED, and ExportError UNUSABLE for
   * wrong certificates.
   */
  async serve(): Promise<string | undefined> {
    const { config, log, ready } = this.#options
    const { grpc: address, tls } = config.server
    if (address === 'disabled') return undefined
    const options = { address, tls: tls === undefined ? undefined : await certificatesOf(tls), ready, log }
    this.#server = await ApiServer.start(options, (methods) => this.#add(methods))
    return this.#server.address
  }

  #add(methods: Methods): void {
    const { delivery, policies, ingest, log } = this.#options
    methods.serverStream(FineGuidanceSensors.method.getEvents, (call) => this.readers.stream(call))
    addPolicies(methods, policies, (what, { source, name }) =>
      log.info({ domain: source, policy: name }, `policy ${what} over the API`),
    )
    addExporters(methods, delivery)
    addInfo(methods, this.#options)
    addDebug(methods, { log, processes: ingest.processes, encoder: this.readers.encoder })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]()
  }
}

async function certificatesOf(tls: NonNullable<Config['server']['tls']>): Promise<ServerTls> {
  const {
    ca = '',
    cert = '',
    key = '',
  } = await readTlsFiles({ ...tls, server_name: undefined, insecure_skip_verify: false })
  return { ca, cert, key }
}
