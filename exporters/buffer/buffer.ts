/**
 * Holds the events of one exporter from acceptance until they are settled:
 *
 *     put ─▶ [ waiting ] ─ next ─▶ ( in flight ) ─ ack ─▶ free
 *
 * `next` keeps the order of `put`. At any time each event is acknowledged, dropped with a reason, or held. Memory stays within its
 * limits. There are two forms: memory only, and memory that overflows to a disk.
 */
import type { EffectiveExporter } from '../../config/agent/effective.ts'
import type { Encoded } from '../contract/exporter.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import type { Counters } from './counters.ts'
import type { SpoolStats } from '../contract/accounting.ts'
import type { Failure, InFlightBatch, Sum } from './in-flight-batch.ts'

/**
 * The part of an exporter's effective config for a buffer. `queue` limits events in memory: waiting, being written to the disk and
 * in flight. `batch` limits the requests to `next`.
 */
export type BufferConfig = Pick<EffectiveExporter, 'queue' | 'batch' | 'spool'>

export interface BufferDeps {
  readonly counters: Counters
  readonly clock: Clock
  /** Called when `next` can return more. */
  readonly onReady: () => void
}

export interface Buffer {
  /** Call once before the first `next`. Rejects with ExportError if the disk is unusable. */
  start(): Promise<void>
  /**
   * Takes accepted events. Without space they wait, or are dropped and counted. Loss records (`losses`) have some reserved space and
   * are never pushed out.
   */
  put(whole: Encoded, losses: boolean): void
  /** Settles when nothing waits for space any more; undefined if nothing does. */
  readonly room: Promise<void> | undefined
  /** Whether events wait for space (only with `block`). */
  readonly blocks: boolean
  /** Uses new limits from now on; held events stay, even above them. The folder of a spool never changes. */
  configure(config: BufferConfig): void
  /** Reports the sink's state and memory pressure, which decide where new events are kept. */
  adapt(sink: Failure, memoryShort: boolean): void

  /** Time since which `next` can return events, on the clock; undefined if it cannot. */
  readonly readySinceMs: number | undefined
  /** More events will become available without a `put`. */
  readonly moreComes: boolean
  /** Whether this much waits, or waiting for more is useless. */
  hasBatch(maxEvents: number, maxBytes: number): boolean
  /** Takes the next events, now in flight; undefined if there are none. Do not call again before it settles. */
  next(maxEvents: number, maxBytes: number): Promise<InFlightBatch | undefined>
  /** `sum` was removed from the batch and is settled. */
  ack(batch: InFlightBatch, sum: Sum): void
  /** Batches with unsettled events. */
  readonly inFlight: ReadonlySet<InFlightBatch>

  /** Whether unsettled events are kept for the next run. */
  readonly keeps: boolean
  /** Retries failed operations now. */
  retry(): void
  /** Ends waits for space and drops events that cannot be kept. */
  endGrace(): void
  /** After the last send: stores events until `endMs`, then drops the rest. */
  finish(endMs: number): Promise<void>
  /** Closes the disk; waits until `endMs` at most. */
  close(endMs: number): Promise<void>

  stats(): BufferStats
  /** Held events, recounted to verify the running count. */
  recount(): number
}

export interface BufferStats {
  /** In memory. */
  readonly events: number
  readonly bytes: number
  /** Events only on the disk. */
  readonly onDisk: number
  /** Age of the oldest held event; 0 without events. */
  readonly oldestAgeMs: number
  /** The disk's error; '' while it works. */
  readonly failure: string
  readonly spool: SpoolStats | undefined
}
