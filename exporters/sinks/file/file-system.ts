/** The system calls of the file exporter, so that tests can fail single ones. */
import { constants } from 'node:fs'
import type { Stats } from 'node:fs'
import { lstat, mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'
import { errnoOf } from '../../contract/errors.ts'

export type FileStat = Pick<Stats, 'ino' | 'dev' | 'size' | 'mode' | 'mtimeMs' | 'isFile'>

/** The part of Node's FileHandle that the exporter uses. */
export interface OpenFile {
  /** Appends; may write only a part. */
  writev(buffers: readonly Uint8Array[]): Promise<{ readonly bytesWritten: number }>
  /** May read less than `length`, 0 at the end. */
  read(into: Uint8Array, at: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  stat(): Promise<FileStat>
  truncate(size: number): Promise<void>
  datasync(): Promise<void>
  chmod(mode: number): Promise<void>
  close(): Promise<void>
}

export interface FileSystem {
  open(path: string, flags: number, mode: number): Promise<OpenFile>
  /** Does not follow a symbolic link. */
  lstat(path: string): Promise<FileStat>
  stat(path: string): Promise<FileStat>
  mkdir(path: string, mode: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  readdir(path: string): Promise<readonly string[]>
  /** Syncs the names in a folder, if its file system supports that. */
  syncFolder(path: string): Promise<void>
  /** Free bytes (including those reserved for root) and block size of the file system of `path`. */
  free(path: string): Promise<{ readonly bytes: number; readonly blockBytes: number }>
}

/** Errors of file systems that cannot sync a folder. */
const NO_FOLDER_SYNC: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EISDIR'])

/** The real file system. Every method rejects with Node's error, whose `code` names the errno. */
export const systemFiles: FileSystem = {
  open,
  lstat: (path) => lstat(path),
  stat: (path) => stat(path),
  mkdir: (path, mode) => mkdir(path, { mode }).then(() => undefined),
  rename,
  unlink,
  readdir: (path) => readdir(path),
  async syncFolder(path) {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await handle.sync()
    } catch (error) {
      if (!NO_FOLDER_SYNC.has(errnoOf(error))) throw error
    } finally {
      await handle.close()
    }
  },
  free: async (path) => {
    const { bfree, bsize } = await statfs(path)
    return { bytes: bfree * bsize, blockBytes: bsize }
  },
}
