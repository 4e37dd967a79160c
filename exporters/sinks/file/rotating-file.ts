/**
 * The file at a path: opened, rotated by size and age, reopened when another process moves it.
 * A line is never split between files. A failed rotation does not stop writing. A rotated file is not written again. One call
 * at a time.
 */
import { dirname } from 'node:path'
import { errnoOf } from '../../contract/errors.ts'
import type { Encoded } from '../../contract/exporter.ts'
import { fitting, slice } from '../../contract/encoded.ts'
import { failure } from './failure.ts'
import type { FileSystem } from './file-system.ts'
import type { FileConfig, FileParts } from './parts.ts'
import { LogFile } from './log-file.ts'
import { exists, freeName } from './names.ts'

/** Minimum time between checks whether the path still is the open file. */
const MOVED_CHECK_MS = 1000
/** Wait before a failed rotation is retried. */
const ROTATE_AGAIN_MS = 10_000

export class RotatingFile {
  readonly #config: FileConfig
  readonly #parts: FileParts
  readonly #onRotated: () => Promise<void>
  #file: LogFile | undefined
  /** The rotation interval of the file's last lines. */
  #interval = 0
  #checkedMs = Number.NEGATIVE_INFINITY
  #lastRotationMs = 0
  /** No rotation before this time, after a failed one. */
  #noRotationUntilMs = Number.NEGATIVE_INFINITY

  /** `onRotated` is called after a file was renamed; never rejects. */
  constructor(config: FileConfig, parts: FileParts, onRotated: () => Promise<void>) {
    this.#config = config
    this.#parts = parts
    this.#onRotated = onRotated
  }

  /** undefined before the first `ready` and while the path cannot be opened. */
  get file(): LogFile | undefined {
    return this.#file
  }

  /** The current file, rotated if its interval is over. Rejects with the error of a system call. */
  async ready(): Promise<LogFile> {
    await this.#followMoved()
    if (this.#file === undefined) await this.open()
    if (this.msUntilDue() === 0) await this.rotate()
    const file = this.#file ?? (await this.open())
    if (file.size === 0) this.#interval = this.#intervalAt(this.#parts.clock.wallMs())
    return file
  }

  async open(): Promise<LogFile> {
    const { path, mode } = this.#config
    const { files, clock, counters } = this.#parts
    const file = await LogFile.open(files, path, Number.parseInt(mode, 8))
    if (file.repaired) counters.torn_lines_repaired++
    this.#checkedMs = clock.nowMs()
    this.#interval = this.#intervalAt(file.size === 0 ? clock.wallMs() : file.mtimeMs)
    this.#file = file
    return file
  }

  /** Milliseconds until the rotation by time; undefined without one. */
  msUntilDue(): number | undefined {
    const { interval } = this.#config.rotate
    if (interval === undefined || this.#file === undefined || this.#file.size === 0) return undefined
    const { clock } = this.#parts
    const waitMs = Math.max(0, this.#noRotationUntilMs - clock.nowMs())
    const wallMs = clock.wallMs()
    // Even if the clock was set back; else a file from a wrong future would never be rotated.
    if (this.#intervalAt(wallMs) !== this.#interval) return waitMs
    return Math.max(waitMs, (this.#interval + 1) * interval - wallMs)
  }

  /** The part of `rest` that fits into the file; undefined if it must be rotated first. */
  cut(rest: readonly Encoded[], file: LogFile): { fit: readonly Encoded[]; left: readonly Encoded[] } {
    const fit: Encoded[] = []
    const mayGrow = this.#parts.clock.nowMs() < this.#noRotationUntilMs
    let room = mayGrow ? Infinity : this.#config.rotate.max_size - file.size
    for (const [i, part] of rest.entries()) {
      // A line larger than the maximum file size gets a file of its own.
      const least = file.size === 0 && fit.length === 0 ? 1 : 0
      const lines = Math.max(least, fitting(part, 0, Math.max(0, room), part.count))
      if (lines > 0) fit.push(slice(part, 0, lines))
      if (lines < part.count) return { fit, left: [slice(part, lines, part.count), ...rest.slice(i + 1)] }
      room -= part.bytes.length
    }
    return { fit, left: [] }
  }

  /**
   * Starts a new file. If that fails, the file stays in use, and rotation is retried later. Only rejects if a torn line of
   * the file cannot be cut off.
   */
  async rotate(): Promise<void> {
    const old = this.#file
    if (old === undefined) return
    const { clock, counters, warn } = this.#parts
    await old.cutTorn()
    try {
      await this.#moveAside()
    } catch (cause) {
      counters.rotation_failures++
      this.#noRotationUntilMs = clock.nowMs() + ROTATE_AGAIN_MS
      warn(failure('rotate', this.#config.path, cause, 'it stays in use, and rotation is retried later'))
    }
    if (this.#file === old) return
    await this.#finish(old)
    await this.#onRotated()
  }

  /** Reopens the path. Rejects with the error of a system call; the open file then stays in use. */
  async reopen(): Promise<void> {
    const old = this.#file
    await old?.cutTorn()
    await this.open()
    this.#parts.counters.reopens++
    if (old !== undefined) await this.#finish(old)
  }

  /**
   * Counts the events affected by a failed sync of `file`. With `fsync: batch` they have not counted as delivered: they are cut
   * off before they are written again. Returns a description.
   */
  inDoubt(file: LogFile): string {
    const { counters } = this.#parts
    const { unsynced } = file
    const { fsync } = this.#config
    if (fsync === 'batch') file.withdraw()
    file.unsynced = 0
    counters.sync_failures++
    if (typeof fsync === 'number') counters.possibly_lost += unsynced
    const next = fsync === 'batch' ? 'are written again' : 'may not be on the disk'
    return `events since the last sync (${unsynced}) ${next}`
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    if (file !== undefined) await this.#finish(file)
  }

  /** Renames the file and opens a new one. If it rejects and `#file` has not changed, nothing has changed. */
  async #moveAside(): Promise<void> {
    const { path } = this.#config
    const { files, clock, counters } = this.#parts
    const free = await freeName(files, path, Math.max(clock.wallMs(), this.#lastRotationMs + 1))
    let moved = true
    try {
      await files.rename(path, free.name)
      this.#lastRotationMs = free.wallMs
    } catch (error) {
      // Another process has moved it, so only open the new file.
      if (errnoOf(error) !== 'ENOENT') throw error
      moved = false
    }
    try {
      await this.open()
      if (moved) counters.rotations++
    } catch (error) {
      if (moved) await this.#moveBack(free.name)
      // It may be deleted: lines written now would be lost.
      else this.#file = undefined
      throw error
    }
  }

  /** When no new file can be opened: gives the old file its name back, or else writes nothing until a file can be opened. */
  async #moveBack(name: string): Promise<void> {
    const { path } = this.#config
    const { files } = this.#parts
    try {
      if (await exists(files, path)) throw new Error(`"${path}" exists again`)
      await files.rename(name, path)
    } catch {
      // A file with a rotated name could be compressed and deleted, so it must not be written.
      this.#file = undefined
    }
  }

  async #finish(old: LogFile): Promise<void> {
    const { path, fsync } = this.#config
    try {
      if (fsync !== 'never') await old.sync()
    } catch (cause) {
      const doubt = this.inDoubt(old)
      this.#parts.warn(failure('sync', path, cause, doubt))
    }
    await old.close()
  }

  /** Reopens the path if another process moved or deleted the file. */
  async #followMoved(): Promise<void> {
    const file = this.#file
    const nowMs = this.#parts.clock.nowMs()
    if (file === undefined || nowMs - this.#checkedMs < MOVED_CHECK_MS) return
    try {
      const stat = await this.#parts.files.lstat(this.#config.path)
      // Also detects a truncated file.
      if (file.isAt(stat)) file.end = stat.size
      else await this.reopen()
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await this.reopen()
    }
    // Only after success: a deleted file must not get more lines.
    this.#checkedMs = nowMs
  }

  #intervalAt(wallMs: number): number {
    return Math.floor(wallMs / (this.#config.rotate.interval ?? Infinity))
  }
}

/** Creates the folder of `path` if only that is missing. */
export async function makeFolder(files: FileSystem, path: string): Promise<void> {
  const folder = dirname(path)
  try {
    await files.stat(folder)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    await files.mkdir(folder, 0o700)
  }
}
