/**
 * Appends whole lines to a file and rotates it by size.
 * Constraints: no torn line, no line twice unless the disk's answer to a sync is unknown; one writer; every failure
 * of the disk is an outcome with a sentence, never an exception. Source: export.md §6.
 */
import { dirname } from 'node:path'
import { errnoOf, ExportError } from '../errors.ts'
import type { Batch, Encoded, Encoding, Exporter, Outcome } from '../exporter.ts'
import { systemClock } from '../sending/clock.ts'
import type { Clock } from '../sending/clock.ts'
import { fitting, slice } from '../sending/encoded.ts'
import { failure, outcomeOf } from './failure.ts'
import { systemFiles } from './file-system.ts'
import type { FileSystem } from './file-system.ts'
import { LogFile } from './log-file.ts'
import { freeName, prune } from './rotation.ts'

/** When written data is forced to the disk. `batch`: before each batch counts as delivered. */
export type FsyncPolicy = 'never' | 'batch' | { readonly intervalMs: number }

export interface FileOptions {
  readonly path: string
  /** A file grows up to this; a single larger line gets a file of its own. */
  readonly maxSizeBytes: number
  /** Rotated files kept beside the current one; older ones are deleted. */
  readonly maxFiles: number
  /** Permission bits of files made, for instance 0o600. */
  readonly mode: number
  readonly fsync: FsyncPolicy
  /** Default json. */
  readonly encoding?: Encoding
}

export interface FileDeps {
  readonly files?: FileSystem
  readonly clock?: Clock
  /** Hears of what no outcome can tell: a failed timed sync, a rotated file that cannot be deleted. */
  readonly warn?: (problem: ExportError) => void
}

/** How often at most a send looks whether the path still leads to the open file. */
const MOVED_CHECK_MS = 1000

export class FileExporter implements Exporter {
  readonly type = 'file'
  readonly encoding: Encoding
  readonly counters = { rotations: 0, reopens: 0, torn_lines_mended: 0, sync_failures: 0, prune_failures: 0 }
  readonly #options: FileOptions
  readonly #files: FileSystem
  readonly #clock: Clock
  readonly #warn: (problem: ExportError) => void
  #file: LogFile | undefined
  #stopped = false
  #checkedMs = Number.NEGATIVE_INFINITY
  #lastRotationMs = 0
  #cancelSync: (() => void) | undefined
  /** Ends when the call now using the file has ended: send, reopen, timed sync and stop take turns. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: FileOptions, deps: FileDeps = {}) {
    this.encoding = options.encoding ?? 'json'
    this.#options = options
    this.#files = deps.files ?? systemFiles
    this.#clock = deps.clock ?? systemClock
    this.#warn = deps.warn ?? (() => undefined)
  }

  /** A full disk or a failing device do not keep the agent from starting; a path that can never work does. */
  start(): Promise<void> {
    return this.#exclusive(async () => {
      try {
        await this.#makeFolder()
        await this.#open()
      } catch (cause) {
        const error = failure('open', this.#options.path, cause)
        if (error.code === 'UNUSABLE_PATH') throw error
      }
    })
  }

  send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    return this.#exclusive(() => this.#send(batch, signal))
  }

  /** Opens the path anew. When that fails the open file stays in use, and ExportError says why. */
  reopen(): Promise<void> {
    return this.#exclusive(async () => {
      try {
        await this.#reopen()
      } catch (cause) {
        throw failure('reopen', this.#options.path, cause)
      }
    })
  }

  stop(): Promise<void> {
    return this.#exclusive(async () => {
      this.#stopped = true
      await this.#closeFile()
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    /** Events in the file, and those of them that count as delivered under the sync policy. */
    let written = 0
    let safe = 0
    const secure = async (): Promise<void> => {
      const now = written
      // Until the sync has succeeded none of it counts; after one that failed it is written again.
      written = safe
      if (this.#options.fsync === 'batch') await this.#syncOrReplace()
      safe = written = now
    }
    try {
      if (this.#stopped) throw new ExportError('CLOSED', `cannot write to "${this.#options.path}": it is closed`)
      await this.#followMoved()
      for (let rest = batch.parts; rest.length > 0;) {
        signal.throwIfAborted()
        const file = this.#file ?? (await this.#open())
        const { fit, left } = this.#cut(rest, file)
        if (fit.length === 0) {
          await secure()
          await this.#rotate(file)
          continue
        }
        const { events, error } = await file.append(fit)
        written += events
        if (error !== undefined) throw error
        rest = left
      }
      await secure()
      this.#armSync()
      return { status: 'delivered' }
    } catch (cause) {
      if (safe < written) await secure().catch(() => undefined)
      if (signal.aborted) {
        const message = `writing to "${this.#options.path}" was stopped after ${safe} of ${batch.count} events`
        return outcomeOf(new ExportError('ABORTED', message, cause), safe)
      }
      return outcomeOf(failure('write to', this.#options.path, cause), safe)
    }
  }

  /** What of `rest` goes into the file as it is; nothing when it must be rotated first. */
  #cut(rest: readonly Encoded[], file: LogFile): { fit: Encoded[]; left: Encoded[] } {
    const fit: Encoded[] = []
    let room = this.#options.maxSizeBytes - file.size
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

  async #makeFolder(): Promise<void> {
    const folder = dirname(this.#options.path)
    try {
      await this.#files.stat(folder)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await this.#files.mkdir(folder, 0o700)
    }
  }

  async #open(): Promise<LogFile> {
    const file = await LogFile.open(this.#files, this.#options.path, this.#options.mode)
    if (file.mended) this.counters.torn_lines_mended++
    this.#checkedMs = this.#clock.nowMs()
    this.#file = file
    return file
  }

  async #reopen(): Promise<void> {
    const old = this.#file
    await old?.cutTorn()
    await this.#open()
    this.counters.reopens++
    if (old === undefined) return
    await this.#syncQuietly(old)
    await old.close()
  }

  /** Somebody moved or deleted the file under its path: go on at the path. */
  async #followMoved(): Promise<void> {
    const file = this.#file
    const nowMs = this.#clock.nowMs()
    if (file === undefined || nowMs - this.#checkedMs < MOVED_CHECK_MS) return
    this.#checkedMs = nowMs
    try {
      const stat = await this.#files.lstat(this.#options.path)
      // Also learns that somebody has truncated the file.
      if (file.isAt(stat)) file.size = stat.size
      else await this.#reopen()
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await this.#reopen()
    }
  }

  async #rotate(file: LogFile): Promise<void> {
    const { path, maxFiles } = this.#options
    await file.cutTorn()
    const free = await freeName(this.#files, path, Math.max(this.#clock.wallMs(), this.#lastRotationMs + 1))
    try {
      await this.#files.rename(path, free.name)
      this.#lastRotationMs = free.wallMs
      this.counters.rotations++
    } catch (error) {
      // Somebody else has just moved it: then only the new file is missing.
      if (errnoOf(error) !== 'ENOENT') throw error
    }
    this.#file = undefined
    await this.#syncQuietly(file)
    await file.close()
    await prune(this.#files, path, maxFiles).catch((cause: unknown) => {
      this.counters.prune_failures++
      this.#warn(failure('delete rotated files of', path, cause))
    })
    await this.#open()
  }

  /** A file whose sync failed has unknown content: it is moved aside, and what is not safe is written again. */
  async #syncOrReplace(): Promise<void> {
    const file = this.#file
    if (file === undefined) return
    try {
      await file.sync()
    } catch (cause) {
      this.counters.sync_failures++
      const message = `cannot sync "${this.#options.path}": what of it is on the disk is unknown; a new file is begun`
      file.unsynced = false
      await this.#rotate(file)
      throw new ExportError('SYNC_FAILED', message, cause)
    }
  }

  async #syncQuietly(file: LogFile): Promise<void> {
    if (this.#options.fsync === 'never') return
    try {
      await file.sync()
    } catch (cause) {
      this.counters.sync_failures++
      this.#warn(failure('sync', this.#options.path, cause))
    }
  }

  #armSync(): void {
    const { fsync } = this.#options
    if (typeof fsync === 'string' || this.#cancelSync !== undefined) return
    const sync = (): Promise<void> => this.#exclusive(() => this.#syncOrReplace())
    this.#cancelSync = this.#clock.after(fsync.intervalMs, () => {
      this.#cancelSync = undefined
      sync().catch((cause: unknown) => this.#warn(failure('sync', this.#options.path, cause)))
    })
  }

  async #closeFile(): Promise<void> {
    this.#cancelSync?.()
    this.#cancelSync = undefined
    const file = this.#file
    this.#file = undefined
    if (file === undefined) return
    await this.#syncQuietly(file)
    await file.close()
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }
}
