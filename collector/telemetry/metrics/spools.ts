/** Metrics of the spools. An exporter without a spool has no samples. */
import type { SenderStats } from '../../../exporters/index.ts'
import { eachSender } from './exporters.ts'
import type { ExporterSources } from './exporters.ts'
import type { Fill, MetricsPage } from './page.ts'

type Spool = NonNullable<SenderStats['spool']>

const PREFIX = 'ktrail_spool'
const EXPORTER = ['exporter']

/** Adds the metrics of all spools to a page. */
export function addSpoolMetrics(page: MetricsPage, senders: ExporterSources['senders']): void {
  const spool = <T>(value: (spool: Spool) => T | undefined): Fill<T> =>
    eachSender(senders, (sender) => {
      const found = sender.stats().spool
      return found === undefined ? undefined : value(found)
    })
  const gauges: ReadonlyArray<readonly [name: string, help: string, value: (spool: Spool) => number | undefined]> = [
    ['bytes', 'Bytes of the files of the spool.', ({ bytes }) => bytes],
    ['limit_bytes', 'Limit of the bytes of the spool.', ({ limitBytes }) => limitBytes],
    ['segments', 'Files of events in the spool.', ({ segments }) => segments],
    ['events', 'Events in the spool that the sink has not accepted yet.', ({ events }) => events],
    [
      'unsafe_events',
      'Events in the spool that are not synced yet: a power cut would lose them.',
      ({ durable, end }) => Math.max(0, end - durable),
    ],
    [
      'oldest_segment_timestamp_seconds',
      'When the oldest file of the spool was created, in seconds since 1970; absent when there is none.',
      ({ oldestMs }) => (oldestMs === undefined ? undefined : oldestMs / 1000),
    ],
  ]
  for (const [name, help, value] of gauges) page.gauge(`${PREFIX}_${name}`, help, EXPORTER, spool(value))
  const counters: ReadonlyArray<readonly [name: string, help: string, value: (spool: Spool) => number]> = [
    ['corrupt_bytes_total', 'Bytes of the spool that could not be read back.', ({ corruptBytes }) => corruptBytes],
    [
      'corrupt_frames_total',
      'Frames of the spool that could not be read back; adjacent damage counts as one.',
      ({ corruptFrames }) => corruptFrames,
    ],
    [
      'truncated_bytes_total',
      'Bytes cut off at the start because a crash left them half written.',
      ({ tornBytes }) => tornBytes,
    ],
    [
      'possibly_lost_events_total',
      'Events that may not have reached the disk when a sync failed or the agent was killed.',
      ({ possiblyLost }) => possiblyLost,
    ],
    [
      'quarantined_files_total',
      'Files of the spool that could not be read at the start and were set aside.',
      ({ quarantinedFiles }) => quarantinedFiles,
    ],
    ['sync_failures_total', 'Syncs of the spool that failed.', ({ failures }) => failures.sync],
    [
      'cursor_failures_total',
      'Failures to store how far the sink has read the spool.',
      ({ failures }) => failures.cursor,
    ],
  ]
  for (const [name, help, value] of counters) page.counter(`${PREFIX}_${name}`, help, EXPORTER, spool(value))
  page.histogram(
    `${PREFIX}_fsync_duration_seconds`,
    'Duration of a sync of a spool file.',
    EXPORTER,
    spool(({ syncSeconds }) => syncSeconds),
  )
}
