/** `block` makes the fan-out wait and with it the ring reader; the others cost this exporter's events only. */
export type WhenFull = 'block' | 'drop_oldest' | 'drop_newest'

/** `always`: every event goes over the disk; `overflow`: when memory is full or the sink does not take what it gets. */
export type SpoolUse = 'always' | 'overflow'

export interface SenderOptions {
  /** Bounds what is held: waiting, being built into a batch and in flight. */
  readonly queue: { readonly maxBytes: number; readonly maxEvents: number; readonly whenFull: WhenFull }
  /** A batch goes when one of the three is reached; it is never larger than the first two. */
  readonly batch: { readonly maxEvents: number; readonly maxBytes: number; readonly maxWaitMs: number }
  /** Doubling waits with full jitter, without end; events older than `maxAgeMs` are dropped as expired. */
  readonly retry: { readonly initialMs: number; readonly maxMs: number; readonly maxAgeMs?: number }
  /** For one call of send. */
  readonly timeoutMs: number
  /** For senders that have a spool; `overflow` when absent. */
  readonly spoolUse?: SpoolUse
  /** How much the spool may take, for a metric. */
  readonly spoolLimitBytes?: number
}

/**
 * Sizes and times where the user gives none. Source: export.md §7.4, but for the queue, which takes a burst of some
 * 50,000 events without a drop; retry as in the OpenTelemetry Collector.
 */
export const DEFAULT_SENDER_OPTIONS: SenderOptions = {
  queue: { maxBytes: 64 << 20, maxEvents: 100_000, whenFull: 'block' },
  batch: { maxEvents: 1000, maxBytes: 1 << 20, maxWaitMs: 200 },
  retry: { initialMs: 500, maxMs: 30_000 },
  timeoutMs: 60_000,
}
