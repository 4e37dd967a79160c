/**
 * The agent's part for observing the agent itself: losses and loss records, metrics, health and status pages. Reads the counters of the
 * other parts off the hot path; no other part depends on it.
 */
import type { Config } from '../../config/agent/schema.ts'
import { isLocal } from '../../config/base/addresses.ts'
import type { Address } from '../../config/base/addresses.ts'
import type { Api } from '../api/api.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Enrichment } from '../enrich/enrichment.ts'
import { Listening, SOCKET } from '../host/sockets/listening.ts'
import type { Ingest } from '../ingest/ingest.ts'
import type { KernelFacts } from '../plan/facts.ts'
import type { Guard } from '../guard/guard.ts'
import type { Kernel } from '../kernel/port.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { enabledOf } from '../policies/registry.ts'
import type { Policies } from '../policies/registry.ts'
import type { Reloads } from '../policies/reloads.ts'
import type { Reloader } from '../reload/reloader.ts'
import { version } from '../../config/base/own.ts'
import { libbpfVersion } from '../../native/index.ts'
import { accessOf } from './access.ts'
import type { Access } from './access.ts'
import { livez } from './health.ts'
import { serve } from './http.ts'
import type { Page, Pages } from './http.ts'
import type { Log } from '../host/log.ts'
import type { LossRecords } from './loss-records.ts'
import { LOST } from './losses.ts'
import type { LoopLag } from './metrics/loop-lag.ts'
import type { NamespaceCounts } from './metrics/namespaces.ts'
import { createPageToken } from './live/page-token.ts'
import type { PageToken } from './live/page-token.ts'
import { createPages } from './pages.ts'
import type { PageSources } from './pages.ts'

export interface TelemetryOptions {
  readonly nodeName: string
  /** The config of the start: changes of these keys need a restart. */
  readonly config: Pick<Config, 'server'>
  readonly facts: KernelFacts
  readonly log: Log
}

/** The parts whose counters are read. */
export interface Parts {
  readonly kernel: Kernel
  readonly ingest: Ingest
  readonly enrichment: Enrichment
  readonly policies: Policies
  readonly kubernetes: Pick<KubernetesClient, 'watches'> | undefined
  readonly namespaces: NamespaceCounts | undefined
  readonly reloads: Reloads
  readonly reloader: Pick<Reloader, 'state'>
  readonly delivery: Delivery
  readonly loopLag: LoopLag
  readonly guard: Guard
  readonly lossRecords: LossRecords
  readonly api: Pick<Api, 'readers' | 'listening'>
}

export class Telemetry implements AsyncDisposable {
  /** Everything is attached, and no stop was requested. */
  ready = false
  readonly #parts: Parts
  readonly #options: TelemetryOptions
  readonly #listening: Listening[] = []
  #token: PageToken | undefined

  constructor(parts: Parts, options: TelemetryOptions) {
    this.#parts = parts
    this.#options = options
  }

  /**
   * Serves the pages at the configured address and at SOCKET, or continues to try. Returns the configured address; undefined while it is not
   * available.
   */
  async serve(): Promise<string | undefined> {
    const { config, log } = this.#options
    const { http, token, metrics_token } = config.server
    const { loopLag } = this.#parts
    const pagesFor = (access: Access): Pages => {
      const made = Object.entries(createPages(this.#sources(access))).map(([path, page]): [string, Page] => {
        const measured: Page = (request) => {
          loopLag.working()
          return page(request)
        }
        return [path, measured]
      })
      return Object.fromEntries(made)
    }
    const pages = pagesFor(await this.#access())
    const listen = async (server: string, address: Address, those = pages): Promise<string | undefined> => {
      const open = () => serve(address, those, (message) => log.warn(message))
      const listening = await Listening.start({ server, address, open, log })
      this.#listening.push(listening)
      return listening.address
    }
    const own = { path: SOCKET }
    // Only the agent's user can connect there, who can read the token in its memory, too.
    const isOpen = (token ?? metrics_token) === undefined
    const open = isOpen ? pages : pagesFor(accessOf({ address: own, token: undefined, own: undefined }))
    if (!('path' in http && http.path === SOCKET)) await listen('http_socket', own, open)
    return listen('http', http)
  }

  async #access(): Promise<Access> {
    const { http: address, token, metrics_token: metricsToken } = this.#options.config.server
    if (token === undefined && !('path' in address) && isLocal(address)) {
      this.#token = await createPageToken().catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error)
        this.#options.log.warn(`without server.token, the status page shows no live events: ${why}`)
        return undefined
      })
    }
    return accessOf({ address, token, metricsToken, own: this.#token })
  }

  #sources(access: Access): PageSources {
    const { kernel, ingest, enrichment, policies, kubernetes, namespaces, reloads } = this.#parts
    const { reloader, delivery, loopLag, guard, lossRecords, api } = this.#parts
    const { nodeName, facts } = this.#options
    const made = (): Record<string, number> => ({ ...ingest.made, events_lost: lossRecords.published })
    return {
      get epoch() {
        return delivery.epoch
      },
      nodeName,
      access,
      delivery,
      ready: () => this.ready,
      reading: ingest.reading,
      build: { version: version(), node: process.version, libbpf: libbpfVersion(), kernel: facts.release },
      config: () => reloader.state,
      events: () => [
        ...Object.entries(made()).map(([type, count]) => ({ type, policy: '', count })),
        ...ingest.hooks.eventsByPolicy(),
      ],
      records: () => ingest.accounting.tracker.received,
      losses: () => lossRecords.losses.list(),
      fallbacks: () => {
        const counters = Object.entries(kernel.counts().counters)
        return {
          ...Object.fromEntries(counters.filter(([name]) => !LOST.some((lost) => lost === name))),
          return_not_seen: ingest.returns.missed,
          aggregate_unknown: ingest.aggregates.lost,
          left_to_other_agent: ingest.leftToOther,
        }
      },
      tampering: () => guard.findings(),
      kubernetes: () => kubernetes?.watches ?? new Map(),
      listening: () => [...this.#listening, ...(api.listening ? [api.listening] : [])],
      imbalance: () => ingest.accounting.imbalance,
      ringWaiting: () => kernel.ring.available(),
      ringBytes: () => kernel.ringBytes,
      runs: () => {
        const { programs, functions } = kernel.counts()
        return new Map([...programs, ...functions])
      },
      keepsStatistics: () => kernel.keepsStatistics,
      hookEvents: () => ingest.hooks.eventsByHook(),
      done: () => kernel.policies.doneByHook(),
      aggregated: () => ingest.aggregates.counted,
      returnsWaiting: () => ingest.returns.waiting,
      processes: ingest.processes,
      unreadProcessFiles: () => ingest.processFiles.unread,
      enrichment,
      policies,
      senders: () => delivery.fanout.senders,
      filtered: () => delivery.fanout.filtered(),
      readers: api.readers,
      namespaces,
      reloads,
      loopLag: () => loopLag.seconds,
    }
  }

  /** Everything is attached. `addresses`: the agent's own servers. */
  announce(addresses: { readonly http: string | undefined; readonly grpc: string | undefined }): void {
    const { facts, log } = this.#options
    this.ready = true
    const policies = enabledOf(this.#parts.policies).length
    log.info({ policies, kernel: facts.release, preemption: facts.preemption, ...addresses }, 'ready')
  }

  /** Whether the ring is read, as /livez answers. */
  get alive(): boolean {
    const { ingest, delivery } = this.#parts
    return livez(ingest.reading, delivery.fanout.senders).status === 200
  }

  /** Logs new losses, and makes records of them. */
  report(): void {
    this.#parts.lossRecords.look(performance.now())
  }

  /** Runs the guard; call it every few seconds. Returns whether something is wrong that was not before; it is reported then. */
  look(): boolean {
    if (!this.#parts.guard.look(performance.now())) return false
    this.#parts.lossRecords.hurry()
    this.report()
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#listening.map((each) => each[Symbol.asyncDispose]()))
    const token = this.#token
    this.#token = undefined
    await token?.[Symbol.asyncDispose]()
  }
}
