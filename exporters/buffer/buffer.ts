/**
 * Holds the events of one exporter from acceptance until they are settled:
 *
 *     put ─▶ [ waiting ] ─ next ─▶ ( in flight ) ─ ack ─▶ free
 *
 * `next` keeps the order of `put`. At any time each event is acknowledged, dropped with a reason, or held. Memory stays within its
 * limits. There are two forms: memory only (MemoryBuffer), and memory that overflows to a disk (DiskBuffer).
 */
import type { EffectiveExporter } from '../../config/agent/effective.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import type { Counters } from './counters.ts'
import type { SpoolStats } from '../contract/accounting.ts'

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
