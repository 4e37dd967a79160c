/** What becomes of events, in numbers: the accounting of an exporter, and what is measured beside it. */

/** Why events were dropped: a closed list, so that the books can balance. */
export type DropReason =
  | 'queue_full'
  | 'rate_limit'
  | 'expired'
  | 'shutdown'
  /** The spool's limits took them, or it could not be written. */
  | 'spool_full'
  | 'spool_failed'
  /** The agent had passed its hard limit of memory. */
  | 'memory'
  /** The spool had them and they can not be read any more. */
  | 'corrupt'
  /** The sink refused them for good, and the dead-letter file did not take them: its disk is full, fails or hangs. */
  | 'dead_letter_failed'

/**
 * One exporter's books: accepted = delivered + rejected (each reason) + dropped (each reason) + held, at every moment.
 * `held` is what sits in the queue, on its way to the spool, in the spool, in the batch being built and in flight.
 */
export interface Accounting {
  /** With those that the spool held already at the start. */
  readonly accepted: number
  readonly delivered: number
  readonly deliveredBytes: number
  readonly rejected: Readonly<Record<string, number>>
  readonly dropped: Readonly<Record<DropReason, number>>
  /** All that is held. */
  readonly heldEvents: number
  /** Of these, events and their bytes in memory. */
  readonly queueEvents: number
  readonly queueBytes: number
  /** Batches, and single requests of them, that were sent once more. */
  readonly retries: number
  readonly lastError: string
  readonly state: 'starting' | 'healthy' | 'retrying' | 'hold' | 'failed' | 'draining' | 'stopped'
}

/** How calls of `send` ended: `config` is a `hold`, `permanent` a `rejected`, `timeout` a `retryable` that took too long. */
export type RequestOutcome = 'ok' | 'partial' | 'retry' | 'timeout' | 'permanent' | 'config'

/** What a sender tells of itself beside its books; for metrics, read now and then. Plain counters, no timer. */
export interface SenderStats {
  readonly requests: Readonly<Record<RequestOutcome, number>>
  /** Events that were sent again although the sink may have had them. */
  readonly duplicatesPossible: number
  /** Seconds of each call of `send` (REQUEST_SECONDS). */
  readonly requestSeconds: HistogramCounts
  /**
   * Seconds from an event's time to the answer that it was taken, once for each delivered event (LATENCY_SECONDS).
   * Events of one part may count with the time of its first; where event times are not known, from its acceptance.
   */
  readonly latencySeconds: HistogramCounts
  /** Calls of `send` under way, and how many there may be now. */
  readonly inFlight: number
  readonly concurrencyLimit: number
  readonly queueLimitBytes: number
  readonly queueLimitEvents: number
  /** The wait before the next try, whole as it was chosen; 0 while none goes on. */
  readonly retryWaitMs: number
  /** How long the oldest held event has been held, in memory or in the spool; 0 when nothing is held. */
  readonly oldestAgeMs: number
  /** Milliseconds since 1970 when the sink last took something; 0 for never. */
  readonly lastSuccessMs: number
  /** What became of events that the sink refused for good; undefined without a dead-letter file. */
  readonly deadLetters: Readonly<Record<string, number>> | undefined
  /** undefined without a spool. */
  readonly spool: (SpoolStats & { readonly limitBytes: number }) | undefined
}

/**
 * Events that a sender has just given up, for loss records: which, as numbers of one run's sequence, where known.
 * Told beside the books, which count; never once an event, only once a part.
 */
export interface Lost {
  readonly reason: string
  readonly events: number
  /** All of them lie within these; events that were not lost may lie there too. */
  readonly firstSeq: number
  readonly lastSeq: number
  /** Run of the agent that the numbers count in, where it may be another than this one: of what a spool gave back. */
  readonly epoch?: string
}

/** What a spool counts, and its state now. */
export interface SpoolStats {
  /** In the spool: to be read, or read and not yet acknowledged. */
  readonly events: number
  readonly outEvents: number
  readonly bytes: number
  readonly segments: number
  /** Positions: everything before `durable` is safe, everything before `settled` is acked or counted, `end` comes next. */
  readonly durable: number
  readonly settled: number
  readonly end: number
  /** Creation of the oldest segment, milliseconds since 1970; undefined when there is none. */
  readonly oldestMs: number | undefined
  readonly recovered: number
  readonly appended: number
  readonly acked: number
  readonly lost: Readonly<Record<'spool_full' | 'expired' | 'corrupt', number>>
  readonly corruptBytes: number
  /** Frames that could not be read back; damage that lies together counts as one. */
  readonly corruptFrames: number
  /** Cut off the end of the last segment at the start: a write that a crash interrupted. */
  readonly tornBytes: number
  /** Files that the start moved to `quarantine/`. */
  readonly quarantinedFiles: number
  readonly possiblyLost: number
  readonly syncs: number
  /** Of each file synced. */
  readonly syncSeconds: HistogramCounts
  /** How often each kind of its work failed. */
  readonly failures: Readonly<Record<'read' | 'write' | 'sync' | 'cursor', number>>
  /** What the system said of what fails now; '' when nothing does. */
  readonly lastError: string
  /** Anything but 0 is a bug in this program. */
  readonly imbalance: number
}

/** Values counted by size. */
export interface HistogramCounts {
  /** Ascending upper bounds, each inclusive. */
  readonly bounds: readonly number[]
  /** One more than bounds: values up to each bound and above the one before; the last, above all of them. */
  readonly counts: readonly number[]
  /** Of all values. */
  readonly sum: number
}
