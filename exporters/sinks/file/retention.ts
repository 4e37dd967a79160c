/** The rotated files to keep. The current file is not included. */
import { COMPRESSED } from './names.ts'
import type { Rotated } from './names.ts'
import type { RotateConfig } from './parts.ts'

export type Retention = Pick<RotateConfig, 'max_files' | 'max_total_size' | 'max_age'>

/**
 * The files of `rotated` (oldest first) to delete, oldest first; the newest files are kept, without gaps. A plain file with a
 * compressed one beside it is ignored: it is about to be deleted, at the latest by the cleanup after a crash.
 */
export function surplus(rotated: readonly Rotated[], retention: Retention, wallMs: number): readonly Rotated[] {
  const { max_files, max_total_size = Infinity, max_age = Infinity } = retention
  const compressed = new Set(rotated.filter((file) => file.compressed).map(({ path }) => path))
  let total = 0
  let kept = 0
  const newestGone = rotated.findLastIndex((file) => {
    if (!compressed.has(file.path + COMPRESSED)) {
      total += file.sizeBytes
      kept++
    }
    return kept > max_files || total > max_total_size || wallMs - file.wallMs > max_age
  })
  return rotated.slice(0, newestGone + 1)
}

/** Milliseconds until the oldest of `rotated` is too old; undefined if none will be. */
export function untilTooOld(rotated: readonly Rotated[], { max_age }: Retention, wallMs: number): number | undefined {
  const [oldest] = rotated
  if (oldest === undefined || max_age === undefined) return undefined
  return Math.max(0, oldest.wallMs + max_age - wallMs) + 1
}
