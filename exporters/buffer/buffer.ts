/**
 * Where the events of one exporter are from the moment in which it accepts them until they are settled:
 *
 *     put ─▶ [ waiting ] ─ next ─▶ ( in flight ) ─ ack ─▶ room
 *
 * Constraints: given out in the order of the puts; every event that is put is acked, dropped with a reason, or held, at every moment; what
 * is in memory stays within its bounds. There are two forms: memory alone, and memory that overflows to a disk.
 */
import type { EffectiveExporter } from '../../config/agent/effective.ts'
import type { Encoded } from '../contract/exporter.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Counters } from './counters.ts'
import type { SpoolStats } from '../contract/accounting.ts'
import type { Failure, InFlightBatch, Sum } from './in-flight-batch.ts'

/**
 * What a buffer takes of an exporter's effective config. `queue` bounds what is in memory: waiting, on its way to the disk and in flight;
 * `batch` what will be asked for at a time.
 */
export type BufferConfig = Pick<EffectiveExporter, 'queue' | 'batch' | 'spool'>

export interface BufferDeps {
  readonly counters: Counters
  readonly clock: Clock
  /** Something can be taken that could not before. */
  readonly onReady: () => void
}

export interface Buffer {
  /** To be called once, before the first `next`. Rejects with ExportError when the disk can not be used. */
  start(): Promise<void>
  /**
   * Takes over accepted events; what has no room waits, or is dropped and counted. Records of losses (`losses`) also have a little room of
   * their own, and nothing pushes them out.
   */
  put(whole: Encoded, losses: boolean): void
  /** Settles when nothing waits for room any more; undefined while nothing does. */
  readonly room: Promise<void> | undefined
  /** Whether events wait for room, as only `block` lets them. */
  readonly blocks: boolean
  /** How the sink fares, and whether the process is short of memory: where new events are better kept depends on it. */
  adapt(sink: Failure, memoryShort: boolean): void

  /** Since when something can be taken, on the clock; undefined when nothing can. */
  readonly readySinceMs: number | undefined
  /** More can be taken soon, though nothing is put. */
  readonly moreComes: boolean
  /** Whether so much waits, or waiting for more is of no use. */
  hasBatch(maxEvents: number, maxBytes: number): boolean
  /** The next events, now in flight; undefined when there are none after all. Not to be called again before it settles. */
  next(maxEvents: number, maxBytes: number): Promise<InFlightBatch | undefined>
  /** `sum` was just taken off the batch, and is settled. */
  ack(batch: InFlightBatch, sum: Sum): void
  /** Batches of which something is not settled. */
  readonly inFlight: ReadonlySet<InFlightBatch>

  /** Whether what is not settled at the end is kept for the next run. */
  readonly keeps: boolean
  /** Tries again now what has failed. */
  retry(): void
  /** Nobody may wait for room any more, and what can not be kept is dropped. */
  endGrace(): void
  /** When nothing is sent any more: keeps until `endMs` what can be kept, then drops the rest. */
  finish(endMs: number): Promise<void>
  /** Lets go of the disk, or of waiting for it at `endMs`. */
  close(endMs: number): Promise<void>

  stats(): BufferStats
  /** Events held, counted one by one: the auditor's count, not the running one. */
  recount(): number
}

export interface BufferStats {
  /** In memory. */
  readonly events: number
  readonly bytes: number
  /** Events that are on the disk alone. */
  readonly onDisk: number
  /** Age of the oldest event held; 0 when there is none. */
  readonly oldestAgeMs: number
  /** Why the disk takes nothing; '' when it does. */
  readonly failure: string
  readonly spool: SpoolStats | undefined
}
