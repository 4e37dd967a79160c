/** Which rotated files are kept. The file being written is never one of them. */
import { COMPRESSED } from './names.ts'
import type { Rotated } from './names.ts'
import type { RotateConfig } from './parts.ts'

export type Retention = Pick<RotateConfig, 'max_files' | 'max_total_size' | 'max_age'>

/**
 * Those of `rotated` (oldest first) that must go, oldest first: what is kept is always an unbroken run of the newest. A plain
 * file with its compressed one beside it counts for nothing: it is about to be deleted, now or by what mends a crash.
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

/** Milliseconds until the oldest of `rotated` is too old; undefined when none will be. */
export function untilTooOld(rotated: readonly Rotated[], { max_age }: Retention, wallMs: number): number | undefined {
  const [oldest] = rotated
  if (oldest === undefined || max_age === undefined) return undefined
  return Math.max(0, oldest.wallMs + max_age - wallMs) + 1
}
