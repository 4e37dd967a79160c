/** Metrics of every exporter: accounting, sending chain and spool. Listed in docs/metrics.md. */
import type { Accounting, RequestOutcome, Sender, SenderStats } from '../../../exporters/index.ts'
import type { Fill, MetricsPage } from './page.ts'

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
const PREFIX = 'ktrail_exporter'
const EXPORTER = ['exporter']

/** Adds the metrics of all exporters to a page. */
export function addExporterMetrics(page: MetricsPage, sources: ExporterSources): void {
  page.counter(
    'ktrail_events_filtered_total',
    'Events that the filters of an exporter left out; no other counter has them.',
    ['exporter', 'filter'],
    (put) => {
      for (const [exporter, filters] of sources.filtered()) {
        for (const [filter, n] of Object.entries(filters)) put({ exporter, filter }, n)
      }
    },
  )
  page.gauge(
    `${PREFIX}_info`,
    'Type and encoding of the exporter; always 1.',
    ['exporter', 'type', 'encoding'],
    (put) => {
      for (const { name, exporter } of sources.senders())
        put({ exporter: name, type: exporter.type, encoding: exporter.encoding }, 1)
    },
  )
  addAccounting(page, sources.senders)
  addChain(page, sources.senders)
  addDeadLetters(page, sources.senders)
}

function addAccounting(page: MetricsPage, senders: ExporterSources['senders']): void {
  const accounting = (value: (accounting: Accounting) => number): Fill<number> =>
    eachSender(senders, (sender) => value(sender.accounting()))
  const byReason = (reasons: (sender: Reported) => Readonly<Record<string, number>>): Fill<number> => {
    return (put) => {
      for (const sender of senders()) {
        for (const [reason, n] of Object.entries(reasons(sender))) put({ exporter: sender.name, reason }, n)
      }
    }
  }
  page.counter(
    `${PREFIX}_accepted_events_total`,
    'Events that the exporter accepted, with those found in its spool at the start.',
    EXPORTER,
    accounting(({ accepted }) => accepted),
  )
  page.counter(
    `${PREFIX}_delivered_events_total`,
    'Events that the sink accepted.',
    EXPORTER,
    accounting(({ delivered }) => delivered),
  )
  page.counter(
    `${PREFIX}_delivered_bytes_total`,
    'Encoded bytes of the events that the sink accepted, before compression.',
    EXPORTER,
    accounting(({ deliveredBytes }) => deliveredBytes),
  )
  page.counter(
    `${PREFIX}_rejected_events_total`,
    'Events that the sink rejected.',
    ['exporter', 'reason'],
    byReason(rejectedOf),
  )
  page.counter(
    `${PREFIX}_dropped_events_total`,
    'Events that the exporter dropped.',
    ['exporter', 'reason'],
    byReason((sender) => sender.accounting().dropped),
  )
  page.counter(
    `${PREFIX}_retries_total`,
    'Batches that were sent again.',
    EXPORTER,
    accounting(({ retries }) => retries),
  )
  page.gauge(
    `${PREFIX}_queue_events`,
    'Events held in memory: waiting, being batched and in flight.',
    EXPORTER,
    accounting(({ queueEvents }) => queueEvents),
  )
  page.gauge(
    `${PREFIX}_queue_bytes`,
    'Bytes of the events held in memory.',
    EXPORTER,
    accounting(({ queueBytes }) => queueBytes),
  )
  page.gauge(
    `${PREFIX}_held_events`,
    'Events held in memory and in the spool.',
    EXPORTER,
    accounting(({ heldEvents }) => heldEvents),
  )
  page.gauge(`${PREFIX}_state`, '1 for the current state of the exporter, else 0.', ['exporter', 'state'], (put) => {
    for (const sender of senders()) {
      const now = sender.accounting().state
      for (const state of STATES) put({ exporter: sender.name, state }, state === now ? 1 : 0)
    }
  })
  page.counter(`${PREFIX}_own_total`, 'Counters that only this type of exporter has.', ['exporter', 'what'], (put) => {
    for (const { name, ownCounters } of senders()) {
      for (const [what, n] of Object.entries(ownCounters ?? {})) put({ exporter: name, what }, n)
    }
  })
}

/** Known reasons are there from 0 on: of a counter that begins at 8, increase() sees none of the 8. */
function rejectedOf(sender: Reported): Readonly<Record<string, number>> {
  const { exporter } = sender
  const known = [...(exporter.refusalReasons ?? []), ...(sender.stats().spool === undefined ? [] : ['unreadable'])]
  return { ...Object.fromEntries(known.map((reason) => [reason, 0])), ...sender.accounting().rejected }
}

function addDeadLetters(page: MetricsPage, senders: ExporterSources['senders']): void {
  page.counter(
    `${PREFIX}_dead_letters_total`,
    'Dead-letter records of rejected events: written, unwritten, or unnamed where the sink gave only a number; and failures to write.',
    ['exporter', 'what'],
    (put) => {
      for (const sender of senders()) {
        for (const [what, n] of Object.entries(sender.stats().deadLetters ?? {}))
          put({ exporter: sender.name, what }, n)
      }
    },
  )
}

function addChain(page: MetricsPage, senders: ExporterSources['senders']): void {
  const stats = (value: (stats: SenderStats) => number): Fill<number> =>
    eachSender(senders, (sender) => value(sender.stats()))
  page.counter(
    `${PREFIX}_requests_total`,
    'Batches sent, by outcome: config needs manual action, permanent was rejected.',
    ['exporter', 'outcome'],
    (put) => {
      for (const sender of senders()) {
        const { requests } = sender.stats()
        for (const outcome of OUTCOMES) put({ exporter: sender.name, outcome }, requests[outcome])
      }
    },
  )
  page.counter(
    `${PREFIX}_duplicates_possible_total`,
    'Events sent again although the sink may have stored them: there was no answer, or an unclear one.',
    EXPORTER,
    stats(({ duplicatesPossible }) => duplicatesPossible),
  )
  page.histogram(
    `${PREFIX}_request_duration_seconds`,
    'Time until the sink answered for a batch, whatever the outcome.',
    EXPORTER,
    eachSender(senders, (sender) => sender.stats().requestSeconds),
  )
  page.histogram(
    `${PREFIX}_event_latency_seconds`,
    'Time from an event to the answer that the sink accepted it.',
    EXPORTER,
    eachSender(senders, (sender) => sender.stats().latencySeconds),
  )
  page.gauge(
    `${PREFIX}_retry_wait_seconds`,
    'Current wait before the next try; 0 when there is none.',
    EXPORTER,
    stats(({ retryWaitMs }) => retryWaitMs / 1000),
  )
  page.gauge(
    `${PREFIX}_queue_limit_bytes`,
    'Limit of bytes of events in memory.',
    EXPORTER,
    stats(({ queueLimitBytes }) => queueLimitBytes),
  )
  page.gauge(
    `${PREFIX}_queue_limit_events`,
    'Limit of events in memory.',
    EXPORTER,
    stats(({ queueLimitEvents }) => queueLimitEvents),
  )
  page.gauge(
    `${PREFIX}_concurrency_limit`,
    'Current limit of requests in flight.',
    EXPORTER,
    stats(({ concurrencyLimit }) => concurrencyLimit),
  )
  page.gauge(
    `${PREFIX}_in_flight_requests`,
    'Requests in flight.',
    EXPORTER,
    stats(({ inFlight }) => inFlight),
  )
  page.gauge(
    `${PREFIX}_oldest_event_age_seconds`,
    'How long the oldest held event has been held; 0 when none is.',
    EXPORTER,
    stats(({ oldestAgeMs }) => oldestAgeMs / 1000),
  )
  page.gauge(
    `${PREFIX}_last_success_timestamp_seconds`,
    'When the sink last accepted events, in seconds since 1970; 0 for never.',
    EXPORTER,
    stats(({ lastSuccessMs }) => lastSuccessMs / 1000),
  )
}

/** One value of each sender. */
export function eachSender<T>(
  senders: ExporterSources['senders'],
  value: (sender: Reported) => T | undefined,
): Fill<T> {
  return (put) => {
    for (const sender of senders()) {
      const found = value(sender)
      if (found !== undefined) put({ exporter: sender.name }, found)
    }
  }
}
