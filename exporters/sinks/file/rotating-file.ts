/**
 * The file at a path over time: opened, begun anew when it is large or old enough, followed when others move it.
 * Constraints: a line is in one file, whole; a rotation that fails does not stop the writing; what was moved aside is no
 * longer written to. One call at a time.
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

/** How often at most a send looks whether the path still leads to the open file. */
const MOVED_CHECK_MS = 1000
/** How long a file may go on growing before a failed rotation is tried again. */
const ROTATE_AGAIN_MS = 10_000

export class RotatingFile {
  readonly #config: FileConfig
  readonly #parts: FileParts
  readonly #onRotated: () => Promise<void>
  #file: LogFile | undefined
  /** The interval in which the file got its last lines. */
  #interval = 0
  #checkedMs = Number.NEGATIVE_INFINITY
  #lastRotationMs = 0
  /** Until then no rotation is tried: the last has failed. */
  #noRotationUntilMs = Number.NEGATIVE_INFINITY

  /** `onRotated`: a file has just got its rotated name; never rejects. */
  constructor(config: FileConfig, parts: FileParts, onRotated: () => Promise<void>) {
    this.#config = config
    this.#parts = parts
    this.#onRotated = onRotated
  }

  /** The open file; undefined before the first `ready` and while the path cannot be opened. */
  get file(): LogFile | undefined {
    return this.#file
  }

  /** The file to write into now: at the path, and of this interval. Rejects with the error of a system call. */
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

  /** How long until the time has come to begin a new file; undefined when it will not come. */
  msUntilDue(): number | undefined {
    const { interval } = this.#config.rotate
    if (interval === undefined || this.#file === undefined || this.#file.size === 0) return undefined
    const { clock } = this.#parts
    const waitMs = Math.max(0, this.#noRotationUntilMs - clock.nowMs())
    const wallMs = clock.wallMs()
    // Also when the clock has been set back: else a file from a wrong future would never end.
    if (this.#intervalAt(wallMs) !== this.#interval) return waitMs
    return Math.max(waitMs, (this.#interval + 1) * interval - wallMs)
  }

  /** What of `rest` goes into the file as it is; nothing when it must be rotated first. */
  cut(rest: readonly Encoded[], file: LogFile): { fit: readonly Encoded[]; left: readonly Encoded[] } {
    const fit: Encoded[] = []
    const mayGrow = this.#parts.clock.nowMs() < this.#noRotationUntilMs
    let room = mayGrow ? Infinity : this.#config.rotate.max_size - file.size
    for (const [i, part] of rest.entries()) {
      // A line larger than a whole file goes alone into an empty one.
      const least = file.size === 0 && fit.length === 0 ? 1 : 0
      const lines = Math.max(least, fitting(part, 0, Math.max(0, room), part.count))
      if (lines > 0) fit.push(slice(part, 0, lines))
      if (lines < part.count) return { fit, left: [slice(part, lines, part.count), ...rest.slice(i + 1)] }
      room -= part.bytes.length
    }
    return { fit, left: [] }
  }

  /**
   * Begins a new file. When that fails the file stays in use and grows, and it is tried again later. Rejects only where
   * the file has a torn line that cannot be cut off.
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
      warn(failure('rotate', this.#config.path, cause, 'it grows, and is rotated later'))
    }
    if (this.#file === old) return
    await this.#finish(old)
    await this.#onRotated()
  }

  /** Opens the path anew; when that fails the open file stays in use. Rejects with the error of a system call. */
  async reopen(): Promise<void> {
    const old = this.#file
    await old?.cutTorn()
    await this.open()
    this.#parts.counters.reopens++
    if (old !== undefined) await this.#finish(old)
  }

  /** A sync of `file` has failed and is not repeated: counts what that makes unsafe. Returns it as words. */
  inDoubt(file: LogFile): string {
    const { counters } = this.#parts
    const { unsynced } = file
    file.unsynced = 0
    counters.sync_failures++
    if (typeof this.#config.fsync === 'number') counters.possibly_lost += unsynced
    return `what it got since the last sync (events: ${unsynced}) may not be on the disk`
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    if (file !== undefined) await this.#finish(file)
  }

  /** Gives the file its rotated name and opens a new one; as it was when it rejects and `#file` is still the same. */
  async #moveAside(): Promise<void> {
    const { path } = this.#config
    const { files, clock, counters } = this.#parts
    const free = await freeName(files, path, Math.max(clock.wallMs(), this.#lastRotationMs + 1))
    let moved = true
    try {
      await files.rename(path, free.name)
      this.#lastRotationMs = free.wallMs
    } catch (error) {
      // Somebody else has just moved it: then only the new file is missing.
      if (errnoOf(error) !== 'ENOENT') throw error
      moved = false
    }
    try {
      await this.open()
      if (moved) counters.rotations++
    } catch (error) {
      if (moved) await this.#moveBack(free.name)
      // Perhaps deleted: what is written there now would be lost.
      else this.#file = undefined
      throw error
    }
  }

  /** No new file can be opened: the old one goes on under its name, or else nothing is written until one can be. */
  async #moveBack(name: string): Promise<void> {
    const { path } = this.#config
    const { files } = this.#parts
    try {
      if (await exists(files, path)) throw new Error(`"${path}" is there again`)
      await files.rename(name, path)
    } catch {
      // Nobody may write to a file with a rotated name: it could be compressed and deleted.
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

  /** Somebody moved or deleted the file under its path: go on at the path. */
  async #followMoved(): Promise<void> {
    const file = this.#file
    const nowMs = this.#parts.clock.nowMs()
    if (file === undefined || nowMs - this.#checkedMs < MOVED_CHECK_MS) return
    try {
      const stat = await this.#parts.files.lstat(this.#config.path)
      // Also learns that somebody has truncated the file.
      if (file.isAt(stat)) file.size = stat.size
      else await this.reopen()
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await this.reopen()
    }
    // Not before it has succeeded: a deleted file must not get one more line.
    this.#checkedMs = nowMs
  }

  #intervalAt(wallMs: number): number {
    return Math.floor(wallMs / (this.#config.rotate.interval ?? Infinity))
  }
}

/** Makes the folder of `path` if only that is missing. */
export async function makeFolder(files: FileSystem, path: string): Promise<void> {
  const folder = dirname(path)
  try {
    await files.stat(folder)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    await files.mkdir(folder, 0o700)
  }
}
