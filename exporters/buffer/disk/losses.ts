/** What the spool tells about events that it had and has no more. */
import type { SpoolStats } from '../../contract/accounting.ts'
import { Histogram } from '../../runtime/histogram.ts'
import type { Segment } from './catalog.ts'
import { Failures } from './failures.ts'
import type { ReportFailure } from './failures.ts'

/** Seconds of a sync, from a disk with a battery behind its cache to one that is about to fail. */
const SYNC_SECONDS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]

/** Why: the size or disk limit, the age limit, or damage (a bad checksum, a missing or unreadable file). */
export type LossReason = keyof SpoolStats['lost']

export interface Loss {
  readonly reason: LossReason
  readonly events: number
  /** Positions in this spool, `to` exclusive. */
  readonly from: number
  readonly to: number
  /**
   * The appender's own numbers, both inclusive, between which the lost events lie; undefined where they are not known.
   * With filters or several epochs in between, not every number in the range was in the spool.
   */
  readonly marks: { readonly epoch: string; readonly first: number; readonly last: number } | undefined
}

/** The marks of all that a segment holds, where they are known. */
export function marksOf({ header, lastMark }: Segment, next: Segment | undefined): Loss['marks'] {
  const { epoch, firstMark } = header
  const last = lastMark || (next?.header.previousMark ?? 0)
  return last >= firstMark ? { epoch, first: firstMark, last } : undefined
}

/** Counters of one spool since it was opened. */
export class Tally {
  appended = 0
  acked = 0
  corruptBytes = 0
  /** Where events were lost to damage; what lies together counts once, for nobody can tell how many frames it was. */
  corruptFrames = 0
  /** Events not held in memory any more when a sync failed: they may or may not have reached the disk. */
  possiblyLost = 0
  syncs = 0
  readonly syncSeconds: Histogram = new Histogram(SYNC_SECONDS)
  readonly failures: Failures
  readonly lost: Record<LossReason, number> = { spool_full: 0, expired: 0, corrupt: 0 }
  readonly #report: (loss: Loss) => void

  constructor(report: (loss: Loss) => void, reportFailure: ReportFailure) {
    this.#report = report
    this.failures = new Failures(reportFailure)
  }

  lose(loss: Loss): void {
    if (loss.events <= 0) return
    this.lost[loss.reason] += loss.events
    this.#report(loss)
  }
}
