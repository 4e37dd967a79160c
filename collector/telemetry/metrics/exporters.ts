/** What every exporter tells of itself: its books, its sending chain and its spool. Listed in docs/metrics.md. */
import type { Accounting, RequestOutcome, Sender, SenderStats } from '../../../exporters/index.ts'
import type { Fill, MetricsPage } from './page.ts'

/** The part of a sender that is read here. */
export type Reported = Pick<Sender, 'name' | 'exporter' | 'accounting' | 'stats' | 'imbalance'>

export interface ExporterSources {
  readonly senders: () => readonly Reported[]
  /** Events that an exporter's filters kept out, by exporter and filter. */
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

/** Puts the metrics of all exporters onto a page. */
export function addExporterMetrics(page: MetricsPage, sources: ExporterSources): void {
  page.counter(
    'ktrail_events_filtered_total',
    'Events that the filters of an exporter kept out; they are in none of its books.',
    ['exporter', 'filter'],
    (put) => {
      for (const [exporter, filters] of sources.filtered()) {
        for (const [filter, n] of Object.entries(filters)) put({ exporter, filter }, n)
      }
    },
  )
  page.gauge(
    `${PREFIX}_info`,
    'What kind of exporter it is, and what its events are encoded as; always 1.',
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
  const byReason = (reasons: (accounting: Accounting) => Readonly<Record<string, number>>): Fill<number> => {
    return (put) => {
      for (const sender of senders()) {
        for (const [reason, n] of Object.entries(reasons(sender.accounting())))
          put({ exporter: sender.name, reason }, n)
      }
    }
  }
  page.counter(
    `${PREFIX}_accepted_events_total`,
    'Events that the exporter took over, with those found in its spool at the start.',
    EXPORTER,
    accounting(({ accepted }) => accepted),
  )
  page.counter(
    `${PREFIX}_delivered_events_total`,
    'Events that the sink took.',
    EXPORTER,
    accounting(({ delivered }) => delivered),
  )
  page.counter(
    `${PREFIX}_delivered_bytes_total`,
    'Bytes of the events that the sink took, as they were encoded, before compression.',
    EXPORTER,
    accounting(({ deliveredBytes }) => deliveredBytes),
  )
  page.counter(
    `${PREFIX}_rejected_events_total`,
    'Events that the sink refused for good.',
    ['exporter', 'reason'],
    byReason(({ rejected }) => rejected),
  )
  page.counter(
    `${PREFIX}_dropped_events_total`,
    'Events that the exporter gave up.',
    ['exporter', 'reason'],
    byReason(({ dropped }) => dropped),
  )
  page.counter(
    `${PREFIX}_retries_total`,
    'Batches that were sent once more.',
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
  page.gauge(`${PREFIX}_state`, '1 for the state that the exporter is in, else 0.', ['exporter', 'state'], (put) => {
    for (const sender of senders()) {
      const now = sender.accounting().state
      for (const state of STATES) put({ exporter: sender.name, state }, state === now ? 1 : 0)
    }
  })
  page.counter(`${PREFIX}_own_total`, 'What only this kind of sink counts.', ['exporter', 'what'], (put) => {
    for (const { name, exporter } of senders()) {
      for (const [what, n] of Object.entries(exporter.counters ?? {})) put({ exporter: name, what }, n)
    }
  })
}

function addDeadLetters(page: MetricsPage, senders: ExporterSources['senders']): void {
  page.counter(
    `${PREFIX}_dead_letters_total`,
    'What became of events that the sink refused for good: written, unwritten, or unnamed where the sink told only how many; ' +
      'and failures to write.',
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
    'Batches handed to the sink, by how it ended: config waits for a person, permanent was refused for good.',
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
    'Events that were sent again although the sink may have had them: no answer came, or one that leaves it open.',
    EXPORTER,
    stats(({ duplicatesPossible }) => duplicatesPossible),
  )
  page.histogram(
    `${PREFIX}_request_duration_seconds`,
    'How long the sink took to answer for a batch, well or not.',
    EXPORTER,
    eachSender(senders, (sender) => sender.stats().requestSeconds),
  )
  page.histogram(
    `${PREFIX}_event_latency_seconds`,
    'From the time of an event to the answer that the sink took it.',
    EXPORTER,
    eachSender(senders, (sender) => sender.stats().latencySeconds),
  )
  page.gauge(
    `${PREFIX}_retry_wait_seconds`,
    'How long the exporter now waits before the next try; 0 while it does not.',
    EXPORTER,
    stats(({ retryWaitMs }) => retryWaitMs / 1000),
  )
  page.gauge(
    `${PREFIX}_queue_limit_bytes`,
    'Bytes of events that may be held in memory.',
    EXPORTER,
    stats(({ queueLimitBytes }) => queueLimitBytes),
  )
  page.gauge(
    `${PREFIX}_queue_limit_events`,
    'Events that may be held in memory.',
    EXPORTER,
    stats(({ queueLimitEvents }) => queueLimitEvents),
  )
  page.gauge(
    `${PREFIX}_concurrency_limit`,
    'Requests that may be under way at once now.',
    EXPORTER,
    stats(({ concurrencyLimit }) => concurrencyLimit),
  )
  page.gauge(
    `${PREFIX}_in_flight_requests`,
    'Requests under way.',
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
    'When the sink last took something, in seconds since 1970; 0 for never.',
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
