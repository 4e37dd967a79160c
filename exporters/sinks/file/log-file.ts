/**
 * One open file of whole lines.
 * Constraint: the file ends at a line end whenever a call has returned, or this object knows how many bytes of a
 * torn line it must cut off before it writes again.
 */
import { constants } from 'node:fs'
import { errnoOf, ExportError } from '../../contract/errors.ts'
import type { Encoded } from '../../contract/exporter.ts'
import { batchOf, endOf, fitting } from '../../contract/encoded.ts'
import type { FileStat, FileSystem, OpenFile } from './file-system.ts'

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants
/** Read too, for the last byte; NONBLOCK, so that a FIFO or a device in the file's place cannot hang the open. */
const FLAGS = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK
const LINE_FEED = 0x0a
const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])

/** How much of an append is in the file, at line ends. `error` when it is not all of it. */
export interface Appended {
  readonly events: number
  readonly error: unknown
}

export class LogFile {
  readonly #files: FileSystem
  readonly #path: string
  readonly #file: OpenFile
  readonly #ino: number
  readonly #dev: number
  /** When it was written last before it was opened: milliseconds since 1970. */
  readonly mtimeMs: number
  /** Bytes of a line's beginning at the end of the file. */
  #tornBytes = 0
  /** The error of a full disk, until a write has succeeded. */
  #full: unknown
  size: number
  /** Events written since the last sync. */
  unsynced = 0
  /** The file ended in a torn line when it was opened (a crash), and has got its line feed. */
  repaired = false

  private constructor(files: FileSystem, path: string, file: OpenFile, stat: FileStat) {
    this.#files = files
    this.#path = path
    this.#file = file
    this.#ino = stat.ino
    this.#dev = stat.dev
    this.mtimeMs = stat.mtimeMs
    this.size = stat.size
  }

  /**
   * Opens or makes the file; `mode` is set on a file made here, whatever the umask. Rejects with the error of the
   * system call, or with ExportError UNUSABLE when the path is not a regular file.
   */
  static async open(files: FileSystem, path: string, mode: number): Promise<LogFile> {
    const { file, created } = await openOrCreate(files, path, mode)
    try {
      const stat = await file.stat()
      if (!stat.isFile()) {
        const message = `cannot open "${path}": expected a regular file, got something else; choose another path`
        throw new ExportError('UNUSABLE', message)
      }
      if (created) await file.chmod(mode)
      const log = new LogFile(files, path, file, stat)
      await log.#repairCrash()
      return log
    } catch (error) {
      await file.close().catch(() => undefined)
      throw error
    }
  }

  /** A file that is open already, taken as it is; `path` says which file system it is on. Rejects with the error of the system call. */
  static async of(files: FileSystem, path: string, file: OpenFile): Promise<LogFile> {
    return new LogFile(files, path, file, await file.stat())
  }

  isAt(stat: FileStat): boolean {
    return stat.ino === this.#ino && stat.dev === this.#dev
  }

  /** Writes all lines of `parts`, going on after short writes; on an error cuts back to the last whole line. */
  async append(parts: readonly Encoded[]): Promise<Appended> {
    const total = batchOf(parts).sizeBytes
    let written = 0
    try {
      await this.cutTorn()
      if (this.#full !== undefined && !(await this.#hasRoomFor(parts))) throw this.#full
      while (written < total) {
        const count = await this.#file.writev(skip(parts, written))
        // A regular file that takes nothing and says nothing would spin here for ever.
        if (count <= 0) throw new Error('the write took no bytes')
        written += count
      }
      const { count: events } = batchOf(parts)
      this.size += total
      this.unsynced += events
      this.#full = undefined
      return { events, error: undefined }
    } catch (error) {
      if (NO_ROOM.has(errnoOf(error))) this.#full = error
      const whole = wholeLines(parts, written)
      this.size += whole.bytes
      this.unsynced += whole.events
      this.#tornBytes += written - whole.bytes
      // Now if it can be, else before the next write; the first error is the one to tell.
      await this.cutTorn().catch(() => undefined)
      return { events: whole.events, error }
    }
  }

  async sync(): Promise<void> {
    if (this.unsynced === 0) return
    await this.#file.datasync()
    this.unsynced = 0
  }

  /** Closes, whatever state the file is in. Never rejects: there is nothing left to do about it. */
  async close(): Promise<void> {
    await this.cutTorn().catch(() => undefined)
    await this.#file.close().catch(() => undefined)
  }

  /**
   * Cuts off the beginning of a line that a failed append has left; rejects while that fails.
   * From the end as it is now, because somebody may have truncated the file since (copytruncate).
   */
  async cutTorn(): Promise<void> {
    if (this.#tornBytes === 0) return
    const { size } = await this.#file.stat()
    await this.#file.truncate(Math.max(0, size - this.#tornBytes))
    this.#tornBytes = 0
  }

  /**
   * Whether a full disk has room again for one line at least. Without the look each retry would write the beginning
   * of a line and cut it off again, under the eyes of whoever tails the file.
   */
  async #hasRoomFor(parts: readonly Encoded[]): Promise<boolean> {
    const lineBytes = parts[0]?.ends[0] ?? 0
    try {
      const { bytes, blockBytes } = await this.#files.free(this.#path)
      const slack = (blockBytes - (this.size % blockBytes)) % blockBytes
      return bytes + slack >= lineBytes
    } catch {
      return true
    }
  }

  async #repairCrash(): Promise<void> {
    if (this.size === 0) return
    const last = new Uint8Array(1)
    await this.#file.read(last, this.size - 1)
    if (last[0] === LINE_FEED) return
    await this.#file.writev([Uint8Array.of(LINE_FEED)])
    this.size++
    this.repaired = true
  }
}

async function openOrCreate(
  files: FileSystem,
  path: string,
  mode: number,
): Promise<{ file: OpenFile; created: boolean }> {
  try {
    return { file: await files.open(path, FLAGS | O_CREAT | O_EXCL, mode), created: true }
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    return { file: await files.open(path, FLAGS, mode), created: false }
  }
}

/** The bytes of `parts` after the first `written`. */
function skip(parts: readonly Encoded[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let left = written
  for (const { bytes } of parts) {
    if (left < bytes.length) rest.push(left === 0 ? bytes : bytes.subarray(left))
    left = Math.max(0, left - bytes.length)
  }
  return rest
}

/** How many lines, and bytes of them, are whole within the first `written` bytes. */
function wholeLines(parts: readonly Encoded[], written: number): { events: number; bytes: number } {
  let events = 0
  let bytes = 0
  for (const part of parts) {
    const lines = fitting(part, 0, written - bytes, part.count)
    events += lines
    bytes += endOf(part, lines)
    if (lines < part.count) break
  }
  return { events, bytes }
}
