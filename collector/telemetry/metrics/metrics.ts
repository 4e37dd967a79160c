/** The agent's metrics: the sources of their samples. Types, help texts and labels are in families.json; docs/reference/metrics.md lists them. */
import { SEVERITY_BY_TAG } from '../../../config/agent/exporters/otlp-records.ts'
import type { Policy } from '../../../config/policy/policy.ts'
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
import { exporterMetrics } from './exporters.ts'
import type { ExporterSources } from './exporters.ts'
import { byKey, single } from './fills.ts'
import { hookMetrics } from './hooks.ts'
import type { HookSources } from './hooks.ts'
import type { NamespaceCounts } from './namespaces.ts'
import { MetricsPage } from './page.ts'
import type { Fills } from './page.ts'
import type { Reloads } from '../../policies/reloads.ts'
import type { ConfigState } from '../../reload/reloader.ts'
import { spoolMetrics } from './spools.ts'

/** The sources of the metrics, read when the page is requested. */
export interface MetricSources extends ExporterSources, HookSources {
  readonly build: Readonly<Record<'version' | 'node' | 'libbpf' | 'kernel', string>>
  /** The config in effect. */
  readonly config: () => ConfigState
  /** Events by record type; kprobe events also by policy. */
  readonly events: () => ReadonlyArray<{ type: string; policy: string; count: number }>
  readonly records: () => number
  readonly losses: () => readonly Loss[]
  readonly fallbacks: () => Readonly<Record<string, number>>
  /** Present findings of the guard. */
  readonly tampering: () => readonly Finding[]
  /** Watches at the API server of Kubernetes. */
  readonly kubernetes: () => ReadonlyMap<string, WatchState>
  /** The addresses of the agent's own servers. */
  readonly listening: () => ReadonlyArray<Pick<Listening, 'server' | 'problem'>>
  readonly imbalance: () => number
  readonly ringWaiting: () => number
  readonly ringBytes: () => number
  readonly returnsWaiting: () => number
  readonly processes: Pick<ProcessTable, 'size' | 'budget'>
  /** By file. */
  readonly unreadProcessFiles: () => Readonly<Record<string, number>>
  readonly enrichment: Pick<Enrichment, 'gaveUp' | 'held'>
  /** Only if the config enables it. */
  readonly namespaces: NamespaceCounts | undefined
  readonly policies: Pick<Policies, 'list'>
  readonly reloads: Pick<Reloads, 'counts' | 'lastMs'>
  readonly loopLag: () => HistogramCounts
  /** Clients of the API that read events. */
  readonly readers: Pick<ReaderCounts, 'count' | 'events'>
}

export function createMetrics(sources: MetricSources): MetricsPage {
  const { processes, enrichment, readers, build, config, reloads } = sources
  const fills: Omit<Fills, 'ktrail_namespace_events_total'> = {
    ...hookMetrics(sources),
    ...exporterMetrics(sources),
    ...spoolMetrics(sources.senders),
    // The stages from the kernel to the fan-out.
    ktrail_events_read_total: (put) => {
      for (const { type, policy, count } of sources.events()) put({ type, policy }, count)
    },
    ktrail_ring_records_total: single(sources.records),
    ktrail_kernel_lost_events_total: (put) => {
      for (const { hook, reason, count } of sources.losses()) put({ hook, reason }, count)
    },
    ktrail_kernel_fallbacks_total: byKey('kind', sources.fallbacks),
    ktrail_tampering_findings: (put) => {
      const found = sources.tampering()
      for (const kind of FINDING_KINDS) put({ kind }, found.filter((finding) => finding.kind === kind).length)
    },
    ktrail_ring_waiting_bytes: single(sources.ringWaiting),
    ktrail_ring_limit_bytes: single(sources.ringBytes),
    ktrail_returns_waiting: single(sources.returnsWaiting),
    ktrail_policy_hooks: (put) => {
      for (const { id, hooks, skipped, lacking } of enabledOf(sources.policies)) {
        put({ policy: id.name, state: 'loaded' }, hooks.length)
        put({ policy: id.name, state: 'call_not_found' }, skipped.length)
        put({ policy: id.name, state: 'lacking' }, lacking.length)
      }
    },
    ktrail_policy_info: (put) => {
      // Policies of one name have one severity: a query joins it by the name.
      const severities = new Map(enabledOf(sources.policies).map(({ policy }) => [policy.name, severityOf(policy)]))
      for (const [name, severity] of severities) if (severity !== undefined) put({ policy: name, severity }, 1)
    },
    ktrail_kubernetes_watch_up: (put) => {
      for (const [resource, { listed, problem }] of sources.kubernetes()) {
        put({ resource }, Number(listed && problem === undefined))
      }
    },
    ktrail_processes: single(() => processes.size),
    ktrail_process_table_bytes: byKey('kind', () => processes.budget.bytes),
    ktrail_process_table_limit_bytes: single(() => processes.budget.limitBytes),
    ktrail_process_table_evictions_total: byKey('kind', () => ({ ...processes.budget.evictions })),
    ktrail_process_files_unread_total: byKey('kind', sources.unreadProcessFiles),
    ktrail_enrichment_waiting_events: single(() => enrichment.held.events),
    ktrail_enrichment_gave_up_events_total: byKey('reason', () => enrichment.gaveUp),
    ktrail_accounting_imbalance_events: (put) => {
      put({ exporter: 'ring' }, sources.imbalance())
      for (const sender of sources.senders()) put({ exporter: sender.name }, sender.imbalance())
    },
    // The agent's process, and its readers.
    ktrail_api_readers: single(() => readers.count),
    ktrail_api_sent_events_total: single(() => readers.events.sent),
    ktrail_api_lost_events_total: single(() => readers.events.lost),
    ktrail_server_listening: (put) => {
      for (const { server, problem } of sources.listening()) put({ server }, Number(problem === undefined))
    },
    ktrail_build_info: (put) => put(build, 1),
    ktrail_config_hash_info: (put) => put({ hash: config().hash }, 1),
    ktrail_config_reloads_total: byKey('result', () => config().counts),
    ktrail_config_last_reload_success_timestamp_seconds: single(() => config().sinceMs / 1000),
    ktrail_policy_reloads_total: byKey('result', () => reloads.counts),
    ktrail_policy_last_reload_success_timestamp_seconds: single(() => reloads.lastMs / 1000),
    ktrail_event_loop_lag_seconds: single(sources.loopLag),
    ktrail_process_resident_memory_bytes: single(() => process.memoryUsage.rss()),
    ktrail_process_cpu_seconds_total: single(() => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }),
    ktrail_process_start_time_seconds: single(() => performance.timeOrigin / 1000),
  }
  return new MetricsPage({ ...fills, ktrail_namespace_events_total: sources.namespaces?.fill })
}

/** Other values are no labels: their number has no bound. */
function severityOf({ hooks }: Policy): string | undefined {
  const tag = hooks.flatMap(({ tags }) => tags).find((each) => Object.hasOwn(SEVERITY_BY_TAG, each))
  return tag?.replace('severity.', '')
}
