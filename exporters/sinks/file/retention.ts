/** Which rotated files are kept. The file being written is never one of them. */
import { COMPRESSED } from './names.ts'
import type { Rotated } from './names.ts'

export interface Retention {
  /** Rotated files kept, compressed or not. */
  readonly maxFiles: number
  /** Most bytes of them together, as they lie on the disk. */
  readonly maxTotalBytes?: number
  /** Longest time since they were rotated. */
  readonly maxAgeMs?: number
}

/**
 * Those of `rotated` (oldest first) that must go, oldest first: what is kept is always an unbroken run of the newest. A plain
 * file with its compressed one beside it counts for nothing: it is about to be deleted, now or by what mends a crash.
 */
export function surplus(rotated: readonly Rotated[], retention: Retention, wallMs: number): readonly Rotated[] {
  const { maxFiles, maxTotalBytes = Infinity, maxAgeMs = Infinity } = retention
  const compressed = new Set(rotated.filter((file) => file.compressed).map(({ path }) => path))
  let total = 0
  let kept = 0
  const newestGone = rotated.findLastIndex((file) => {
    if (!compressed.has(file.path + COMPRESSED)) {
      total += file.sizeBytes
      kept++
    }
    return kept > maxFiles || total > maxTotalBytes || wallMs - file.wallMs > maxAgeMs
  })
  return rotated.slice(0, newestGone + 1)
}

/** Milliseconds until the oldest of `rotated` is too old; undefined when none will be. */
export function untilTooOld(rotated: readonly Rotated[], { maxAgeMs }: Retention, wallMs: number): number | undefined {
  const [oldest] = rotated
  if (oldest === undefined || maxAgeMs === undefined) return undefined
  return Math.max(0, oldest.wallMs + maxAgeMs - wallMs) + 1
}
