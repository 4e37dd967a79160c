/**
 * /status: the state of the agent as one JSON object. The values come from the sources of the metrics; the keys are those of accounting and
 * stats (`exporters/contract/exporter.ts`) in snake_case. Undefined values are left out.
 */
import type { PolicyStatus } from '../policies/registry.ts'
import type { ConfigState } from '../reload/reloader.ts'
import type { Answer } from './http.ts'
import type { Reported } from './metrics/exporters.ts'
import type { MetricSources } from './metrics/metrics.ts'

export interface StatusSources extends MetricSources {
  /** Identifies this run of the agent; part of every event's number. */
  readonly epoch: string
  readonly nodeName: string
}

/** `readiness`: the answer of /readyz. */
export function statusOf(sources: StatusSources, readiness: Answer): object {
  const filtered = sources.filtered()
  return {
    ...sources.build,
    node_name: sources.nodeName,
    pid: process.pid,
    ready: readiness.status === 200,
    readiness: String(readiness.body).trimEnd().split('\n'),
    epoch: sources.epoch,
    started: new Date(performance.timeOrigin).toISOString(),
    uptime_seconds: performance.now() / 1000,
    resident_bytes: process.memoryUsage.rss(),
    event_loop_lag_seconds: sources.loopLag(),
    config: configOf(sources.config()),
    policies: sources.policies.list().map(({ id, state, error, hooks, skipped, lacking, limited, events }) => ({
      name: id.name,
      state: stateOf(state, hooks.length, skipped.length),
      error,
      hooks: hooks.length,
      attached: countsOf(hooks.map(({ mode }) => mode)),
      call_not_found: skipped.map(({ symbol }) => symbol),
      lacking,
      limited,
      events,
    })),
    events: sources.events(),
    ring: {
      records: sources.records(),
      waiting_bytes: sources.ringWaiting(),
      returns_waiting: sources.returnsWaiting(),
      imbalance: sources.imbalance(),
    },
    lost: sources.losses(),
    tampering: sources.tampering(),
    exporters: sources.senders().map((sender) => exporterOf(sender, filtered.get(sender.name))),
  }
}

function configOf({ hash, files, sinceMs, counts, refused }: ConfigState): object {
  return {
    hash,
    files,
    since: new Date(sinceMs).toISOString(),
    reloads: counts,
    last_refused: refused && { time: new Date(refused.timeMs).toISOString(), reason: refused.reason },
  }
}

function stateOf(state: PolicyStatus['state'], hooks: number, skipped: number): string {
  if (state !== 'enabled' || skipped === 0) return state
  return hooks === 0 ? 'waiting' : 'partially_enabled'
}

function countsOf(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

function exporterOf(sender: Reported, filtered: Readonly<Record<string, number>> = {}): object {
  const { spool, ...stats } = sender.stats()
  return {
    name: sender.name,
    type: sender.exporter.type,
    ...snakeCased(sender.accounting()),
    imbalance: sender.imbalance(),
    filtered,
    ...snakeCased(stats),
    own: sender.ownCounters,
    learned_limits: sender.exporter.learnedLimits,
    spool: spool === undefined ? undefined : snakeCased(spool),
  }
}

/** Only the top level: deeper keys are reasons and counters of exporters. */
function snakeCased(values: object): object {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [snakeCase(key), value]))
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)
}
