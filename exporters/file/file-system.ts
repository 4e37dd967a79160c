/** The few system calls that the file exporter makes, as one interface, so that a test can fail a single one. */
import { lstat, mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'

export interface FileStat {
  readonly ino: number
  readonly dev: number
  readonly size: number
  isFile(): boolean
}

export interface OpenFile {
  /** Appends; may write less than given. Returns bytes written. */
  writev(buffers: readonly Uint8Array[]): Promise<number>
  /** The byte at `position`; undefined at or past the end. */
  byteAt(position: number): Promise<number | undefined>
  stat(): Promise<FileStat>
  truncate(size: number): Promise<void>
  datasync(): Promise<void>
  chmod(mode: number): Promise<void>
  close(): Promise<void>
}

export interface FileSystem {
  open(path: string, flags: number, mode: number): Promise<OpenFile>
  /** Of the path itself, not of what a symlink points to. */
  lstat(path: string): Promise<FileStat>
  stat(path: string): Promise<FileStat>
  mkdir(path: string, mode: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  readdir(path: string): Promise<readonly string[]>
  /** Free bytes of the file system that holds `path`, those reserved for root included, and its block size. */
  free(path: string): Promise<{ readonly bytes: number; readonly blockBytes: number }>
}

/** The real file system. Every method rejects with Node's error, whose `code` names the errno. */
export const systemFiles: FileSystem = {
  open: openFile,
  lstat: (path) => lstat(path),
  stat: (path) => stat(path),
  mkdir: (path, mode) => mkdir(path, { mode }).then(() => undefined),
  rename,
  unlink,
  readdir: (path) => readdir(path),
  free: async (path) => {
    const { bfree, bsize } = await statfs(path)
    return { bytes: bfree * bsize, blockBytes: bsize }
  },
}

async function openFile(path: string, flags: number, mode: number): Promise<OpenFile> {
  const handle = await open(path, flags, mode)
  return {
    writev: async (buffers) => (await handle.writev([...buffers])).bytesWritten,
    byteAt: async (position) => {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(1), 0, 1, position)
      return bytesRead === 1 ? buffer[0] : undefined
    },
    stat: () => handle.stat(),
    truncate: (size) => handle.truncate(size),
    datasync: () => handle.datasync(),
    chmod: (bits) => handle.chmod(bits),
    close: () => handle.close(),
  }
}
