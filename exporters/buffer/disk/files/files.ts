/** The system calls of the spool, so that simulations can fail each of them. */
import { constants } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'
import { lockFolder } from './lock.ts'
import type { Lock } from './lock.ts'

/** An open file. Every method rejects with Node's error, whose `code` names the errno. */
export interface SpoolFile {
  /** Writes at `position`; may write only a part. Returns bytes written. */
  write(buffers: readonly Uint8Array[], position: number): Promise<number>
  /** Fills `into` from `position`; may read less, 0 at the end. */
  read(into: Uint8Array, position: number): Promise<number>
  /** Makes everything written so far survive a power cut. */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  stat(): Promise<FileFacts>
  close(): Promise<void>
}

export interface FileFacts {
  /** Identifies the file regardless of its name; unique while it is open. */
  readonly id: string
  readonly size: number
  readonly mtimeMs: number
}

export interface SpoolFiles {
  /** `create`: must not exist; `replace`: created or emptied; `write`: must exist; `read`: must exist, read-only. */
  open(path: string, how: 'create' | 'replace' | 'write' | 'read'): Promise<SpoolFile>
  /** Creates the folder and its parents. */
  mkdir(path: string): Promise<void>
  readdir(path: string): Promise<readonly string[]>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  stat(path: string): Promise<FileFacts>
  /** Syncs the names in a folder. */
  syncFolder(path: string): Promise<void>
  /** Free bytes of the file system of `path`, for an unprivileged writer. */
  free(path: string): Promise<number>
  /** The lock, or the process that holds it (0: unknown). */
  lock(folder: string): Promise<Lock | { readonly heldBy: number }>
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_NONBLOCK } = constants
// O_NONBLOCK: a FIFO of that name must not block the start.
const FLAGS = {
  create: O_RDWR | O_CREAT | O_EXCL,
  replace: O_RDWR | O_CREAT | O_TRUNC,
  write: O_RDWR,
  read: O_RDONLY | O_NONBLOCK,
}

/** The real file system. New files are only for their owner, because events reveal what users do. */
export const systemSpoolFiles: SpoolFiles = {
  async open(path, how) {
    const handle = await open(path, FLAGS[how] | O_NOFOLLOW, 0o600)
    return {
      write: async (buffers, position) => (await handle.writev([...buffers], position)).bytesWritten,
      read: async (into, position) => (await handle.read(into, 0, into.length, position)).bytesRead,
      sync: () => handle.datasync(),
      truncate: (size) => handle.truncate(size),
      stat: async () => factsOf(await handle.stat({ bigint: true })),
      close: () => handle.close(),
    }
  },
  mkdir: (path) => mkdir(path, { recursive: true, mode: 0o700 }).then(() => undefined),
  readdir: (path) => readdir(path),
  rename,
  unlink,
  stat: async (path) => factsOf(await stat(path, { bigint: true })),
  async syncFolder(path) {
    const handle = await open(path, O_RDONLY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
  async free(path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
  lock: lockFolder,
}

function factsOf({ dev, ino, size, mtimeMs }: BigIntStats): FileFacts {
  return { id: `${dev}:${ino}`, size: Number(size), mtimeMs: Number(mtimeMs) }
}
