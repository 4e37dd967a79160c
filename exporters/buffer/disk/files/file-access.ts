/** Opens and reads files with retries, several at a time, and distinguishes access errors from damage. */
import { errnoOf } from '../../../contract/errors.ts'
import type { SpoolFile, SpoolFiles } from './files.ts'

/** Tries for a read: a device error may be temporary. */
export const TRIES = 3
/** Keeps the four threads of Node's pool busy with few descriptors. */
const AT_ONCE = 16
const ACCESS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EMFILE', 'ENFILE', 'ENOMEM', 'EROFS'])

/** A failure of permissions, limits or memory: the files are intact and readable once that is repaired. */
export function isAccess(error: unknown): boolean {
  return ACCESS.has(errnoOf(error))
}

export async function withFile<T>(
  files: SpoolFiles,
  path: string,
  run: (file: SpoolFile) => Promise<T>,
  how: 'read' | 'write' = 'read',
): Promise<T> {
  const file = await opened(files, path, how)
  try {
    return await run(file)
  } finally {
    await ignoring(file.close())
  }
}

/** Fills `into` up to the end of the file. Returns bytes read. */
export async function readFully(file: SpoolFile, into: Uint8Array, position: number): Promise<number> {
  let failures = 0
  for (let filled = 0; ;) {
    try {
      const got = await file.read(into.subarray(filled), position + filled)
      filled += got
      if (got === 0 || filled === into.length) return filled
    } catch (error) {
      if (++failures === TRIES) throw error
    }
  }
}

/** Writes all of `buffers`. Rejects if the file takes none. */
export async function writeFully(file: SpoolFile, buffers: readonly Uint8Array[], position: number): Promise<void> {
  let left = buffers.filter(({ length }) => length > 0)
  for (let at = position; left.length > 0;) {
    let written = await file.write(left, at)
    if (written === 0) throw Object.assign(new Error('a write of several bytes wrote none'), { code: 'EIO' })
    at += written
    let whole = 0
    for (const { length } of left) {
      if (length > written) break
      written -= length
      whole++
    }
    left = left.slice(whole)
    const torn = left[0]
    if (torn !== undefined && written > 0) left[0] = torn.subarray(written)
  }
}

/** Runs `run` for all items, a few at a time; returns the results in order. Rejects with the first failure. */
export async function inParallel<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  // All workers share one iterator.
  const rest = items.entries()
  const work = async (): Promise<void> => {
    for (const [i, item] of rest) results[i] = await run(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return results
}

/** For optional cleanup: returns the errno of a failure, '' on success. */
export async function ignoring(done: Promise<unknown>): Promise<string> {
  try {
    await done
    return ''
  } catch (error) {
    return errnoOf(error) || 'EIO'
  }
}

async function opened(files: SpoolFiles, path: string, how: 'read' | 'write'): Promise<SpoolFile> {
  for (let tries = 1; ; tries++) {
    try {
      return await files.open(path, how)
    } catch (error) {
      if (tries === TRIES || errnoOf(error) === 'ENOENT') throw error
    }
  }
}
