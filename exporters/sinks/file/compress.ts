/**
 * Compresses a rotated file. At any time its lines are in at least one complete file:
 *
 *     X ─ read, gzip ─▶ X.gz.….tmp ─ sync ─ rename ─▶ X.gz ─ sync the folder ─ unlink X
 *
 * A crash leaves X alone, X and an incomplete X.gz.….tmp (to be deleted), or X and a complete X.gz (X is to be deleted).
 */
import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { errnoOf, ifMissing } from '../../contract/errors.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import { COMPRESSED, exists, unfinishedName } from './names.ts'
import type { Rotated } from './names.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
const READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
const MAKE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
/** Read at once: little garbage, and few turns of the event loop for a file of 64 MiB. */
const CHUNK_BYTES = 64 << 10

/**
 * Compresses `plain` on zlib's threads and deletes it. If that fails or is aborted, `plain` is unchanged and no other file is
 * left; if only the final delete fails, both files remain. A complete `X.gz` from before a crash is used.
 */
export async function compress(files: FileSystem, plain: Rotated, signal: AbortSignal): Promise<void> {
  const target = plain.path + COMPRESSED
  if (!(await holds(files, target, plain.path, signal))) await write(files, plain, target, signal)
  await files.syncFolder(dirname(target))
  await remove(files, plain.path)
}

async function write(files: FileSystem, plain: Rotated, target: string, signal: AbortSignal): Promise<void> {
  const unfinished = unfinishedName(plain.path)
  const source = await files.open(plain.path, READ, 0)
  try {
    const out = await files.open(unfinished, MAKE, 0o600)
    try {
      await pipeline(chunks(source), createGzip(), (gzipped) => writeAll(out, gzipped), { signal })
      await out.chmod(plain.mode)
      await out.datasync()
    } finally {
      await out.close()
    }
    signal.throwIfAborted()
    // If it was deleted meanwhile, its content must not come back.
    await files.lstat(plain.path)
    await files.rename(unfinished, target)
  } catch (error) {
    await files.unlink(unfinished).catch(() => undefined)
    throw error
  } finally {
    await source.close()
  }
}

/** Deletes a file; false if it was already deleted. */
export async function remove(files: FileSystem, path: string): Promise<boolean> {
  const removed = files.unlink(path).then(() => true)
  return (await removed.catch(ifMissing)) ?? false
}

/**
 * Whether `target` is a complete gzip file of `plain`. Compares every byte, because `plain` is deleted next and another
 * process may be writing a gzip file of the same name.
 */
async function holds(files: FileSystem, target: string, plain: string, signal: AbortSignal): Promise<boolean> {
  if (!(await exists(files, target))) return false
  const left = await files.open(target, READ, 0)
  try {
    const right = await files.open(plain, READ, 0)
    try {
      let same = true
      let at = 0
      const compare = async (unzipped: AsyncIterable<Buffer>): Promise<void> => {
        for await (const chunk of unzipped) {
          if (same) same = chunk.equals(await readAt(right, at, chunk.length))
          at += chunk.length
        }
      }
      await pipeline(chunks(left), createGunzip(), compare, { signal })
      return same && at === (await right.stat()).size
    } finally {
      await right.close()
    }
  } catch (error) {
    // The file is not gzip, or incomplete, and is written again.
    if (errnoOf(error).startsWith('Z_')) return false
    throw error
  } finally {
    await left.close()
  }
}

async function* chunks(file: OpenFile): AsyncGenerator<Buffer> {
  for (let at = 0; ;) {
    const chunk = await readAt(file, at, CHUNK_BYTES)
    if (chunk.length === 0) return
    at += chunk.length
    yield chunk
  }
}

/** Up to `length` bytes from `position`; fewer only at the end of the file. */
async function readAt(file: OpenFile, position: number, length: number): Promise<Buffer> {
  const into = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(into, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return into.subarray(0, filled)
}

async function writeAll(out: OpenFile, gzipped: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of gzipped) {
    for (let rest = chunk; rest.length > 0;) {
      const { bytesWritten } = await out.writev([rest])
      if (bytesWritten <= 0) throw new Error('the write wrote no bytes')
      rest = rest.subarray(bytesWritten)
    }
  }
}
