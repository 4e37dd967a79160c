/** Empty sources of the metrics page. */
import { NOTHING_DONE } from '../../../../collector/kernel/actions/acted.ts'
import { Reloads } from '../../../../collector/policies/reloads.ts'
import type { MetricSources } from '../../../../collector/telemetry/metrics/metrics.ts'
import { NamespaceCounts } from '../../../../collector/telemetry/metrics/namespaces.ts'
import { Histogram } from '../../../../exporters/index.ts'
import { enabledPolicies } from './policies.ts'
import { newTable } from './processes.ts'

export function makeSources(change: Partial<MetricSources> = {}): MetricSources {
  return {
    build: { version: '1.2.3', node: 'v24', libbpf: 'v1.1', kernel: '6.12' },
    config: () => ({
      hash: 'c0ffee',
      files: ['/etc/ktrail/ktrail.yaml'],
      sinceMs: 1_700_000_000_000,
      counts: { applied: 2, unchanged: 0, refused: 1 },
      refused: { timeMs: 1_700_000_001_000, reason: 'ktrail.yaml:1:1: no' },
    }),
    events: () => [],
    records: () => 7,
    losses: () => [],
    fallbacks: () => ({}),
    tampering: () => [],
    kubernetes: () => new Map(),
    listening: () => [{ server: 'http', problem: undefined }],
    imbalance: () => 0,
    ringWaiting: () => 64,
    ringBytes: () => 4096,
    runs: () => new Map([['security_file_permission', { missed: 1, runs: 2, runNs: 3_000_000_000 }]]),
    keepsStatistics: () => true,
    hookEvents: () => new Map([['files', new Map([['security_file_permission', 9]])]]),
    done: () =>
      new Map([
        ['files', new Map([['security_file_permission', { ...NOTHING_DONE, nopost: 3, rate_limited: 4, sigkill: 2 }]])],
      ]),
    aggregated: () => new Map([['reads', new Map([['vfs_read', 999_999]])]]),
    returnsWaiting: () => 5,
    unreadProcessFiles: () => ({ cmdline: 2, environ: 1 }),
    processes: newTable(),
    enrichment: { gaveUp: { time: 4, bytes: 0, failed: 0, stopping: 0 }, held: { bytes: 100, events: 6 } },
    namespaces: new NamespaceCounts(),
    policies: enabledPolicies({ name: 'files' }),
    senders: () => [],
    filtered: () => new Map(),
    reloads: new Reloads(),
    loopLag: () => new Histogram([1]),
    readers: { count: 2, events: { sent: 11, lost: 3 } },
    ...change,
  }
}
