/** Opening and reading that tries again, several files at a time, and which failures say nothing about a file's content. */
import { errnoOf } from '../../../contract/errors.ts'
import type { SpoolFile, SpoolFiles } from './files.ts'

/** A device that refuses once may give a moment later; what stays refused is given up. */
export const TRIES = 3
/** Enough to keep the four threads of Node's pool busy, and few descriptors. */
const AT_ONCE = 16
const ACCESS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EMFILE', 'ENFILE', 'ENOMEM', 'EROFS'])

/** A failure of rights, limits or memory: it goes away when somebody mends that, and all that is on disk is still there. */
export function isAccess(error: unknown): boolean {
  return ACCESS.has(errnoOf(error))
}

/** Opens, runs, closes. */
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

/** Fills `into` as far as the file reaches. Returns bytes read. */
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

/** The results of `run` for all items, in their order, a few at a time. Rejects with the first failure. */
export async function inParallel<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  // One iterator for all: each takes what comes next.
  const rest = items.entries()
  const work = async (): Promise<void> => {
    for (const [i, item] of rest) results[i] = await run(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return results
}

/** For what is tidy to do but changes nothing when it fails. Returns the errno, '' when it worked. */
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
