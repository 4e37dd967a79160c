/** Metrics of the spools. An exporter without a spool has no samples. */
import type { SenderStats } from '../../../exporters/index.ts'
import { ofSenders } from './exporters.ts'
import type { ExporterSources } from './exporters.ts'
import type { Fill, FillsOf } from './page.ts'

type Spool = NonNullable<SenderStats['spool']>

export function spoolMetrics(senders: ExporterSources['senders']): FillsOf<'ktrail_spool_'> {
  const spool = <T>(value: (spool: Spool) => T | undefined): Fill<T> =>
    ofSenders(senders, (sender) => {
      const found = sender.stats().spool
      return found === undefined ? undefined : value(found)
    })
  return {
    ktrail_spool_bytes: spool(({ bytes }) => bytes),
    ktrail_spool_limit_bytes: spool(({ limitBytes }) => limitBytes),
    ktrail_spool_segments: spool(({ segments }) => segments),
    ktrail_spool_events: spool(({ events }) => events),
    ktrail_spool_unsafe_events: spool(({ durable, end }) => Math.max(0, end - durable)),
    ktrail_spool_oldest_segment_timestamp_seconds: spool(({ oldestMs }) => oldestMs && oldestMs / 1000),
    ktrail_spool_corrupt_bytes_total: spool(({ corruptBytes }) => corruptBytes),
    ktrail_spool_corrupt_frames_total: spool(({ corruptFrames }) => corruptFrames),
    ktrail_spool_truncated_bytes_total: spool(({ tornBytes }) => tornBytes),
    ktrail_spool_possibly_lost_events_total: spool(({ possiblyLost }) => possiblyLost),
    ktrail_spool_quarantined_files_total: spool(({ quarantinedFiles }) => quarantinedFiles),
    ktrail_spool_sync_failures_total: spool(({ failures }) => failures.sync),
    ktrail_spool_cursor_failures_total: spool(({ failures }) => failures.cursor),
    ktrail_spool_fsync_duration_seconds: spool(({ syncSeconds }) => syncSeconds),
  }
}
