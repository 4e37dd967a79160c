/** An exporter's accounting and statistics. */
import type { NumberRange } from './event.ts'

/** All reasons for dropping events, so that the accounting is complete. */
export type DropReason =
  | 'queue_full'
  | 'rate_limit'
  | 'expired'
  | 'shutdown'
  /** The spool is at its limits (`spool_full`) or could not be written (`spool_failed`). */
  | 'spool_full'
  | 'spool_failed'
  /** The agent exceeded its hard memory limit. */
  | 'memory'
  /** Damaged in the spool. */
  | 'corrupt'
  /** Permanently refused by the sink, and the dead-letter file could not be written: disk full, failing or hanging. */
  | 'dead_letter_failed'

/**
 * One exporter's accounting. At any time: accepted = delivered + rejected (all reasons) + dropped (all reasons) + held.
 * `held` counts events in the queue, being written to the spool, in the spool, in the batch being built, and in flight.
 */
export interface Accounting {
  /** Includes events that were in the spool at the start. */
  readonly accepted: number
  readonly delivered: number
  readonly deliveredBytes: number
  readonly rejected: Readonly<Record<string, number>>
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly heldEvents: number
  /** Held events in memory. */
  readonly queueEvents: number
  readonly queueBytes: number
  /** Batches and single requests that were sent again. */
  readonly retries: number
  readonly lastError: string
  readonly state: 'starting' | 'healthy' | 'retrying' | 'hold' | 'failed' | 'draining' | 'stopped'
}

/** Results of `send` calls: `config` is a `hold`, `permanent` a `rejected`, `timeout` a `retryable` that took too long. */
export type RequestOutcome = 'ok' | 'partial' | 'retry' | 'timeout' | 'permanent' | 'config'

/** A sender's statistics besides its accounting, for metrics. */
export interface SenderStats extends SendStats {
  readonly concurrencyLimit: number
  readonly queueLimitBytes: number
  readonly queueLimitEvents: number
  /** Age of the oldest held event, in memory or in the spool; 0 when nothing is held. */
  readonly oldestAgeMs: number
  /** Counters of the dead-letter file; undefined without one. */
  readonly deadLetters: Readonly<Record<string, number>> | undefined
  /** undefined without a spool. */
  readonly spool: (SpoolStats & { readonly limitBytes: number }) | undefined
}

/** Statistics of the `send` calls. */
export interface SendStats {
  readonly requests: Readonly<Record<RequestOutcome, number>>
  /** Events sent again although the sink may already have them. */
  readonly duplicatesPossible: number
  /** Duration of each `send` call (REQUEST_SECONDS). */
  readonly requestSeconds: HistogramCounts
  /**
   * Seconds from an event's time to its acknowledgement, for each delivered event (LATENCY_SECONDS). Events of one part may
   * count with the time of its first event; without event times, from acceptance.
   */
  readonly latencySeconds: HistogramCounts
  /** Running `send` calls; `concurrencyLimit` is their current limit. */
  readonly inFlight: number
  /** The full length of the current wait before a retry; 0 when not waiting. */
  readonly retryWaitMs: number
  /** Milliseconds since 1970 of the last successful send; 0 for never. */
  readonly lastSuccessMs: number
}

/**
 * Events that a sender just dropped or had rejected, for loss records. Reported per part, not per event; the accounting counts
 * them separately.
 */
export interface Lost {
  readonly reason: string
  readonly events: number
  /** All lost events are in this range; it may also contain events that were not lost. */
  readonly firstSeq: number
  readonly lastSeq: number
  /** Their exporter numbers; absent for events without numbers. */
  readonly numbers?: NumberRange
  /** The agent run of these numbers. Set for events read back from a spool, which may be of an earlier run. */
  readonly epoch?: string
}

/** Counters of a spool since it was opened. */
export interface SpoolCounts {
  readonly appended: number
  readonly acked: number
  readonly lost: Readonly<Record<'spool_full' | 'expired' | 'corrupt', number>>
  readonly corruptBytes: number
  /** Unreadable frames; adjacent damage counts as one. */
  readonly corruptFrames: number
  /** Events no longer in memory when a sync failed: they may or may not have reached the disk. */
  readonly possiblyLost: number
  readonly syncs: number
  /** Duration of each fsync. */
  readonly syncSeconds: HistogramCounts
  /** Failures by kind of operation. */
  readonly failures: Readonly<Record<'read' | 'write' | 'sync' | 'cursor', number>>
  /** The system's error of a current failure; '' without one. */
  readonly lastError: string
}

export interface SpoolStats extends SpoolCounts {
  /** In the spool: not yet read, or read and not yet acknowledged. */
  readonly events: number
  readonly outEvents: number
  readonly bytes: number
  readonly segments: number
  /** Positions: before `durable` everything is synced, before `settled` acknowledged or counted as lost; `end` is the next event. */
  readonly durable: number
  readonly settled: number
  readonly end: number
  /** Creation of the oldest segment, milliseconds since 1970; undefined without segments. */
  readonly oldestMs: number | undefined
  readonly recovered: number
  /** Cut from the last segment at the start: a write interrupted by a crash. */
  readonly tornBytes: number
  /** Files moved to `quarantine/` at the start. */
  readonly quarantinedFiles: number
  /** Anything but 0 is a bug in this program. */
  readonly imbalance: number
}

/** A histogram's counters. */
export interface HistogramCounts {
  /** Ascending, inclusive upper bounds. */
  readonly bounds: readonly number[]
  /** Values per bucket; the last bucket is for values above all bounds. */
  readonly counts: readonly number[]
  readonly sum: number
}
