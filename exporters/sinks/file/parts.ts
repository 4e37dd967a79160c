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
export interface FileCounters {
  rotations: number
  rotation_failures: number
  reopens: number
  torn_lines_repaired: number
  sync_failures: number
  /** Events that counted as delivered but may not be on the disk, because a later sync failed. */
  possibly_lost: number
  deleted_files: number
  retention_failures: number
  compressions: number
  compression_failures: number
}

export function noCounters(): FileCounters {
  return {
    rotations: 0,
    rotation_failures: 0,
    reopens: 0,
    torn_lines_repaired: 0,
    sync_failures: 0,
    possibly_lost: 0,
    deleted_files: 0,
    retention_failures: 0,
    compressions: 0,
    compression_failures: 0,
  }
}
