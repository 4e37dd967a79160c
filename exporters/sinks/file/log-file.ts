/**
 * One open file of whole lines.
 * After each call the file ends at a line end. If it does not, this object has the number of bytes of a torn line to cut off
 * before the next write.
 */
import { constants } from 'node:fs'
import { errnoOf, ExportError, isNoSpace } from '../../contract/errors.ts'
import type { Encoded } from '../../contract/exporter.ts'
import { batchOf, endOf, fitting } from '../../contract/encoded.ts'
import type { FileStat, FileSystem, OpenFile } from './file-system.ts'

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants
/** Readable, to check the last byte; NONBLOCK, so that opening a FIFO or a device instead of a file cannot hang. */
const FLAGS = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK
const LINE_FEED = 0x0a

/** Number of whole lines of an append in the file; `error` if some are missing. */
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
  /** Time of the last write before it was opened: milliseconds since 1970. */
  readonly mtimeMs: number
  /** Bytes at the end of the file to cut off: of a torn line, or of lines that are written again. */
  #tornBytes = 0
  /** Bytes of whole lines since the last sync. */
  #unsyncedBytes = 0
  /** The error of a full disk, until a write succeeds. */
  #full: unknown
  /** End of the file, including the bytes to cut off. Set it if another process has truncated the file. */
  end: number
  /** Events written since the last sync. */
  unsynced = 0
  /** The file ended in a torn line when opened (after a crash); a line feed was added. */
  repaired = false

  private constructor(files: FileSystem, path: string, file: OpenFile, stat: FileStat) {
    this.#files = files
    this.#path = path
    this.#file = file
    this.#ino = stat.ino
    this.#dev = stat.dev
    this.mtimeMs = stat.mtimeMs
    this.end = stat.size
  }

  /**
   * Opens or creates the file; a new file gets `mode` regardless of the umask. Rejects with the error of the system call, or
   * with ExportError UNUSABLE if the path is not a regular file.
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

  /** Uses an open file; `path` determines its file system. Rejects with the error of the system call. */
  static async of(files: FileSystem, path: string, file: OpenFile): Promise<LogFile> {
    return new LogFile(files, path, file, await file.stat())
  }

  /** Bytes of whole lines. */
  get size(): number {
    return Math.max(0, this.end - this.#tornBytes)
  }

  isAt(stat: FileStat): boolean {
    return stat.ino === this.#ino && stat.dev === this.#dev
  }

  /** Writes all lines of `parts`, continuing short writes; on an error cuts back to the last whole line. */
  async append(parts: readonly Encoded[]): Promise<Appended> {
    const { count: events, sizeBytes: total } = batchOf(parts)
    let written = 0
    try {
      await this.cutTorn()
      if (this.#full !== undefined && !(await this.#hasRoomFor(parts))) throw this.#full
      while (written < total) {
        const { bytesWritten } = await this.#file.writev(skip(parts, written))
        // Otherwise a file that accepts no bytes and reports no error would loop here forever.
        if (bytesWritten <= 0) throw new Error('the write wrote no bytes')
        written += bytesWritten
      }
      this.end += total
      this.#unsyncedBytes += total
      this.unsynced += events
      this.#full = undefined
      return { events, error: undefined }
    } catch (error) {
      if (isNoSpace(error)) this.#full = error
      const whole = wholeLines(parts, written)
      this.end += written
      this.#unsyncedBytes += whole.bytes
      this.unsynced += whole.events
      this.#tornBytes += written - whole.bytes
      // Cut now if possible, else before the next write. The first error is reported.
      await this.cutTorn().catch(() => undefined)
      return { events: whole.events, error }
    }
  }

  async sync(): Promise<void> {
    if (this.unsynced === 0) return
    await this.#file.datasync()
    this.unsynced = 0
    this.#unsyncedBytes = 0
  }

  /**
   * Cuts off the lines since the last sync, before the next write: then the same lines follow at the same place, and a reader that
   * follows the file does not see it truncated while the sink waits.
   */
  withdraw(): void {
    this.#tornBytes += this.#unsyncedBytes
    this.#unsyncedBytes = 0
  }

  /** Closes the file. Never rejects, because nothing could be done about a failure. */
  async close(): Promise<void> {
    await this.cutTorn().catch(() => undefined)
    await this.#file.close().catch(() => undefined)
  }

  /**
   * Cuts off the bytes that a failed append or sync left; rejects while that fails. Uses the current end of the file, which may have been
   * truncated since (copytruncate).
   */
  async cutTorn(): Promise<void> {
    if (this.#tornBytes === 0) return
    const { size } = await this.#file.stat()
    const end = Math.max(0, size - this.#tornBytes)
    await this.#file.truncate(end)
    this.end = end
    this.#tornBytes = 0
  }

  /**
   * Whether a full disk has space again for at least one line. Without this check each retry would write part of a line and cut
   * it off again, visible to readers that tail the file.
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
    await this.#file.read(last, 0, 1, this.size - 1)
    if (last[0] === LINE_FEED) return
    await this.#file.writev([Uint8Array.of(LINE_FEED)])
    this.end++
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

/** Number and bytes of whole lines within the first `written` bytes. */
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
