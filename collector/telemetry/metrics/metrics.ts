/** The agent's metrics in Prometheus' text format. Listed in docs/metrics.md. */
import type { HistogramCounts } from '../../../exporters/index.ts'
import type { Listening } from '../../host/sockets/listening.ts'
import type { WatchState } from '../../kubernetes/client.ts'
import type { Enrichment } from '../../enrich/enrichment.ts'
import { FINDING_KINDS } from '../../kernel/watched/finding.ts'
import type { ReaderCounts } from '../../api/events/reader-counts.ts'
import type { Finding } from '../../kernel/watched/finding.ts'
import { enabledOf } from '../../policies/registry.ts'
import type { Policies } from '../../policies/registry.ts'
import type { ProcessTable } from '../../process/table.ts'
import type { Loss } from '../losses.ts'
import { addExporterMetrics } from './exporters.ts'
import type { ExporterSources } from './exporters.ts'
import { addHookMetrics } from './hooks.ts'
import type { HookSources } from './hooks.ts'
import type { NamespaceCounts } from './namespaces.ts'
import { MetricsPage } from './page.ts'
import type { Reloads } from '../../policies/reloads.ts'
import type { ConfigState } from '../../reload/reloader.ts'
import { addSpoolMetrics } from './spools.ts'

/** The sources of the metrics, read when the page is requested. */
export interface MetricSources extends ExporterSources, HookSources {
  readonly build: Readonly<Record<'version' | 'node' | 'kernel', string>>
  /** The config in effect. */
  readonly config: () => ConfigState
  /** Events by record type; kprobe events also by policy. */
  readonly events: () => ReadonlyArray<{ type: string; policy: string; count: number }>
  readonly records: () => number
  readonly losses: () => readonly Loss[]
  readonly fallbacks: () => Readonly<Record<string, number>>
  /** Present findings of the guard. */
  readonly tampering: () => readonly Finding[]
  /** What the API server of Kubernetes is asked for. */
  readonly kubernetes: () => ReadonlyMap<string, WatchState>
  /** The addresses of the agent's own servers. */
  readonly listening: () => ReadonlyArray<Pick<Listening, 'server' | 'problem'>>
  readonly imbalance: () => number
  readonly ringWaiting: () => number
  readonly ringBytes: () => number
  readonly returnsWaiting: () => number
  readonly processes: Pick<ProcessTable, 'size' | 'bytes' | 'limitBytes' | 'evictions'>
  /** By file. */
  readonly unreadProcessFiles: () => Readonly<Record<string, number>>
  readonly enrichment: Pick<Enrichment, 'gaveUp' | 'held'>
  /** Only if the config asks for it. */
  readonly namespaces: NamespaceCounts | undefined
  readonly policies: Pick<Policies, 'list'>
  readonly reloads: Pick<Reloads, 'counts' | 'lastMs'>
  readonly loopLag: () => HistogramCounts
  /** Clients of the API that read events. */
  readonly readers: Pick<ReaderCounts, 'count' | 'events'>
}

export function createMetrics(sources: MetricSources): MetricsPage {
  const page = new MetricsPage()
  addReading(page, sources)
  addExporterMetrics(page, sources)
  sources.namespaces?.addTo(page)
  addSpoolMetrics(page, sources.senders)
  addReaders(page, sources.readers)
  addAgent(page, sources)
  return page
}

/** Metrics of the stages from the kernel to the fan-out. */
function addReading(page: MetricsPage, sources: MetricSources): void {
  page.counter(
    'ktrail_events_read_total',
    'Events made from records of the ring, from processes found at the start, and from losses (events_lost).',
    ['type', 'policy'],
    (put) => {
      for (const { type, policy, count } of sources.events()) put({ type, policy }, count)
    },
  )
  page.counter('ktrail_ring_records_total', 'Records read from the ring.', [], (put) => put({}, sources.records()))
  page.counter(
    'ktrail_kernel_lost_events_total',
    'Events that happened but were not recorded.',
    ['hook', 'reason'],
    (put) => {
      for (const { hook, reason, count } of sources.losses()) put({ hook, reason }, count)
    },
  )
  page.counter(
    'ktrail_kernel_fallbacks_total',
    'Times the kernel side fell back to a slower path; nothing was lost.',
    ['kind'],
    (put) => {
      for (const [kind, count] of Object.entries(sources.fallbacks())) put({ kind }, count)
    },
  )
  page.gauge(
    'ktrail_tampering_findings',
    'What others have changed or silenced in the kernel, now or in the last half minute; must be 0.',
    ['kind'],
    (put) => {
      const found = sources.tampering()
      for (const kind of FINDING_KINDS) put({ kind }, found.filter((finding) => finding.kind === kind).length)
    },
  )
  page.gauge('ktrail_ring_waiting_bytes', 'Bytes waiting in the ring.', [], (put) => put({}, sources.ringWaiting()))
  page.gauge('ktrail_ring_limit_bytes', 'Size of the ring.', [], (put) => put({}, sources.ringBytes()))
  page.gauge('ktrail_returns_waiting', 'Calls that matched and have not returned yet.', [], (put) =>
    put({}, sources.returnsWaiting()),
  )
  page.gauge(
    'ktrail_policy_hooks',
    'Hooks by policy: loaded; call_not_found for an optional call, lacking for a whole group of them, that this kernel does not have.',
    ['policy', 'state'],
    (put) => {
      for (const { id, hooks, skipped, lacking } of enabledOf(sources.policies)) {
        put({ policy: id.name, state: 'loaded' }, hooks.length)
        put({ policy: id.name, state: 'call_not_found' }, skipped.length)
        put({ policy: id.name, state: 'lacking' }, lacking.length)
      }
    },
  )
  page.gauge(
    'ktrail_kubernetes_watch_up',
    'Whether changes of a resource come from the Kubernetes API server; while they do not, the agent goes on with what it knows.',
    ['resource'],
    (put) => {
      for (const [resource, { listed, problem }] of sources.kubernetes()) {
        put({ resource }, Number(listed && problem === undefined))
      }
    },
  )
  addHookMetrics(page, sources)
  addProcesses(page, sources.processes, sources.unreadProcessFiles)
  page.gauge(
    'ktrail_enrichment_waiting_events',
    'Events that wait until their pod, or the hash of a file, is known.',
    [],
    (put) => put({}, sources.enrichment.held.events),
  )
  page.counter(
    'ktrail_enrichment_gave_up_events_total',
    'Events that went on without what they waited for, such as their container in its pod.',
    ['reason'],
    (put) => {
      for (const [reason, count] of Object.entries(sources.enrichment.gaveUp)) put({ reason }, count)
    },
  )
  page.gauge(
    'ktrail_accounting_imbalance_events',
    'Events that the accounting does not explain; must be 0 (for the ring: while it is empty).',
    ['exporter'],
    (put) => {
      put({ exporter: 'ring' }, sources.imbalance())
      for (const sender of sources.senders()) put({ exporter: sender.name }, sender.imbalance())
    },
  )
}

function addProcesses(
  page: MetricsPage,
  table: MetricSources['processes'],
  unread: MetricSources['unreadProcessFiles'],
): void {
  page.gauge('ktrail_processes', 'Processes in the table.', [], (put) => put({}, table.size))
  page.gauge(
    'ktrail_process_table_bytes',
    'Memory of the process table: images, their texts, and what encoders cache with them (renderings).',
    ['kind'],
    (put) => {
      for (const [kind, bytes] of Object.entries(table.bytes)) put({ kind }, bytes)
    },
  )
  page.gauge('ktrail_process_table_limit_bytes', 'Limit of that memory: memory.process_table.', [], (put) =>
    put({}, table.limitBytes),
  )
  page.counter(
    'ktrail_process_table_evictions_total',
    'Evictions because memory.process_table was full: renderings (made again when needed), arguments (cut to their beginning), ' +
      'images (their later events are of an unknown process).',
    ['kind'],
    (put) => {
      for (const [kind, count] of Object.entries(table.evictions)) put({ kind }, count)
    },
  )
  page.counter(
    'ktrail_process_files_unread_total',
    'Reads of running processes that the kernel did not answer in time: their events lack arguments (errorArgs) or environment (errorEnvs).',
    ['kind'],
    (put) => {
      for (const [kind, count] of Object.entries(unread())) put({ kind }, count)
    },
  )
}

function addReaders(page: MetricsPage, readers: MetricSources['readers']): void {
  page.gauge('ktrail_api_readers', 'Clients that read events over the API.', [], (put) => put({}, readers.count))
  page.counter('ktrail_api_sent_events_total', 'Events sent to clients of the API.', [], (put) =>
    put({}, readers.events.sent),
  )
  page.counter(
    'ktrail_api_lost_events_total',
    'Events that clients of the API did not get because they read too slowly; each client gets the number. Exporters got them.',
    [],
    (put) => put({}, readers.events.lost),
  )
}

/** Metrics of the agent's process. */
function addAgent(page: MetricsPage, sources: MetricSources): void {
  page.gauge(
    'ktrail_server_listening',
    'Whether a server of the agent has its address: http and grpc of the config, http_socket in /run/ktrail. 0: another program has it.',
    ['server'],
    (put) => {
      for (const { server, problem } of sources.listening()) put({ server }, Number(problem === undefined))
    },
  )
  page.gauge('ktrail_build_info', 'Versions; always 1.', ['version', 'node', 'kernel'], (put) => put(sources.build, 1))
  page.gauge('ktrail_config_hash_info', 'SHA-256 of the config in effect; always 1.', ['hash'], (put) =>
    put({ hash: sources.config().hash }, 1),
  )
  page.counter(
    'ktrail_config_reloads_total',
    'Reloads of the config, by result: applied, unchanged or refused.',
    ['result'],
    (put) => {
      for (const [result, n] of Object.entries(sources.config().counts)) put({ result }, n)
    },
  )
  page.gauge(
    'ktrail_config_last_reload_success_timestamp_seconds',
    'Since when the config is in effect, in seconds since 1970.',
    [],
    (put) => put({}, sources.config().sinceMs / 1000),
  )
  page.counter(
    'ktrail_policy_reloads_total',
    'Policy files added, changed or removed while the agent ran, by result.',
    ['result'],
    (put) => {
      for (const [result, n] of Object.entries(sources.reloads.counts)) put({ result }, n)
    },
  )
  page.gauge(
    'ktrail_policy_last_reload_success_timestamp_seconds',
    'When a policy file was last loaded, or the start, in seconds since 1970.',
    [],
    (put) => put({}, sources.reloads.lastMs / 1000),
  )
  page.histogram(
    'ktrail_event_loop_lag_seconds',
    'How late the event loop ran a timer of 100 ms. Measured while the agent works.',
    [],
    (put) => put({}, sources.loopLag()),
  )
  page.gauge('ktrail_process_resident_memory_bytes', 'Resident memory of the agent.', [], (put) =>
    put({}, process.memoryUsage.rss()),
  )
  page.counter('ktrail_process_cpu_seconds_total', 'CPU time of the agent, user and system.', [], (put) => {
    const { user, system } = process.cpuUsage()
    put({}, (user + system) / 1e6)
  })
  page.gauge('ktrail_process_start_time_seconds', 'When the agent was started, in seconds since 1970.', [], (put) =>
    put({}, performance.timeOrigin / 1000),
  )
}
