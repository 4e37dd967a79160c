/** Types shared by the parts of the file exporter. */
import type { EffectiveType } from '../../../config/agent/effective.ts'
import type { ExportError } from '../../contract/errors.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import type { FileSystem } from './file-system.ts'

export type FileConfig = Pick<EffectiveType<'file'>, 'path' | 'rotate' | 'mode' | 'fsync'>
export type RotateConfig = FileConfig['rotate']

export interface FileParts {
  readonly files: FileSystem
  readonly clock: Clock
  /** Receives failures outside `send`. */
  readonly warn: (problem: ExportError) => void
  readonly counters: FileCounters
}

/** Counters of a file exporter besides the events. */
export type FileCounters = ReturnType<typeof noCounters>

export function noCounters() {
  return {
    rotations: 0,
    rotation_failures: 0,
    reopens: 0,
    torn_lines_repaired: 0,
    sync_failures: 0,
    /** Events that counted as delivered but may not be on the disk, because a later sync failed. */
    possibly_lost: 0,
    deleted_files: 0,
    /** 1 from the rotation before the first deletion on. */
    deletions_foretold: 0,
    retention_failures: 0,
    compressions: 0,
    compression_failures: 0,
  }
}
