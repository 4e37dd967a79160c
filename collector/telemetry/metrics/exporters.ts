/** Metrics of every exporter: accounting, sending chain and spool. Listed in docs/reference/metrics.md. */
import type { Accounting, RequestOutcome, Sender, SenderStats } from '../../../exporters/index.ts'
import type { Fill, FillsOf } from './page.ts'

/** The part of a sender that is read here. */
export type Reported = Pick<Sender, 'name' | 'exporter' | 'ownCounters' | 'accounting' | 'stats' | 'imbalance'>

export interface ExporterSources {
  readonly senders: () => readonly Reported[]
  /** Filtered events by exporter and filter. */
  readonly filtered: () => ReadonlyMap<string, Readonly<Record<string, number>>>
}

const STATES: ReadonlyArray<Accounting['state']> = [
  'starting',
  'healthy',
  'retrying',
  'hold',
  'failed',
  'draining',
  'stopped',
]
const OUTCOMES: readonly RequestOutcome[] = ['ok', 'partial', 'retry', 'timeout', 'permanent', 'config']

type ExporterFills = FillsOf<'ktrail_exporter_' | 'ktrail_events_filtered_'>

export function exporterMetrics({ senders, filtered }: ExporterSources): ExporterFills {
  const accounting = (value: (accounting: Accounting) => number): Fill =>
    ofSenders(senders, (sender) => value(sender.accounting()))
  const stats = <T>(value: (stats: SenderStats) => T): Fill<T> => ofSenders(senders, (sender) => value(sender.stats()))
  /** A sample for each key of each sender, which becomes the value of `label`. */
  const byKey =
    (label: string, counts: (sender: Reported) => Readonly<Record<string, number>> | undefined): Fill =>
    (put) => {
      for (const sender of senders()) {
        for (const [key, n] of Object.entries(counts(sender) ?? {})) put({ exporter: sender.name, [label]: key }, n)
      }
    }
  return {
    ktrail_events_filtered_total: (put) => {
      for (const [exporter, filters] of filtered()) {
        for (const [filter, n] of Object.entries(filters)) put({ exporter, filter }, n)
      }
    },
    ktrail_exporter_info: (put) => {
      for (const { name, exporter } of senders())
        put({ exporter: name, type: exporter.type, encoding: exporter.encoding }, 1)
    },
    ktrail_exporter_accepted_events_total: accounting(({ accepted }) => accepted),
    ktrail_exporter_delivered_events_total: accounting(({ delivered }) => delivered),
    ktrail_exporter_delivered_bytes_total: accounting(({ deliveredBytes }) => deliveredBytes),
    ktrail_exporter_rejected_events_total: byKey('reason', rejectedOf),
    ktrail_exporter_dropped_events_total: byKey('reason', (sender) => sender.accounting().dropped),
    ktrail_exporter_retries_total: accounting(({ retries }) => retries),
    ktrail_exporter_queue_events: accounting(({ queueEvents }) => queueEvents),
    ktrail_exporter_queue_bytes: accounting(({ queueBytes }) => queueBytes),
    ktrail_exporter_held_events: accounting(({ heldEvents }) => heldEvents),
    ktrail_exporter_state: byKey('state', (sender) => {
      const now = sender.accounting().state
      return Object.fromEntries(STATES.map((state) => [state, state === now ? 1 : 0]))
    }),
    ktrail_exporter_own_total: byKey('what', ({ ownCounters }) => ownCounters),
    ktrail_exporter_requests_total: byKey('outcome', (sender) => {
      const { requests } = sender.stats()
      return Object.fromEntries(OUTCOMES.map((outcome) => [outcome, requests[outcome]]))
    }),
    ktrail_exporter_duplicates_possible_total: stats(({ duplicatesPossible }) => duplicatesPossible),
    ktrail_exporter_request_duration_seconds: stats(({ requestSeconds }) => requestSeconds),
    ktrail_exporter_event_latency_seconds: stats(({ latencySeconds }) => latencySeconds),
    ktrail_exporter_retry_wait_seconds: stats(({ retryWaitMs }) => retryWaitMs / 1000),
    ktrail_exporter_queue_limit_bytes: stats(({ queueLimitBytes }) => queueLimitBytes),
    ktrail_exporter_queue_limit_events: stats(({ queueLimitEvents }) => queueLimitEvents),
    ktrail_exporter_concurrency_limit: stats(({ concurrencyLimit }) => concurrencyLimit),
    ktrail_exporter_in_flight_requests: stats(({ inFlight }) => inFlight),
    ktrail_exporter_oldest_event_age_seconds: stats(({ oldestAgeMs }) => oldestAgeMs / 1000),
    ktrail_exporter_last_success_timestamp_seconds: stats(({ lastSuccessMs }) => lastSuccessMs / 1000),
    ktrail_exporter_dead_letters_total: byKey('what', (sender) => sender.stats().deadLetters),
  }
}

/** Known reasons have a sample from 0 on, because increase() ignores the first value of a counter. */
function rejectedOf(sender: Reported): Readonly<Record<string, number>> {
  const { exporter } = sender
  const known = [...(exporter.refusalReasons ?? []), ...(sender.stats().spool === undefined ? [] : ['unreadable'])]
  return { ...Object.fromEntries(known.map((reason) => [reason, 0])), ...sender.accounting().rejected }
}

/** One value of each sender. */
export function ofSenders<T>(senders: ExporterSources['senders'], value: (sender: Reported) => T | undefined): Fill<T> {
  return (put) => {
    for (const sender of senders()) {
      const found = value(sender)
      if (found !== undefined) put({ exporter: sender.name }, found)
    }
  }
}
