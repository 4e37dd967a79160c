/**
 * Appends whole lines to a file and rotates it by size and by time.
 * Constraints: no torn line, no line twice unless the disk's answer to a sync is unknown; one writer; every failure
 * of the disk is an outcome with a sentence, never an exception.
 */
import type { EffectiveType } from '../../../config/agent/effective.ts'
import type { MakeExporter } from '../../context.ts'
import { ExportError } from '../../contract/errors.ts'
import type { Batch, Encoding, Exporter, Outcome } from '../../contract/exporter.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { Clock } from '../../runtime/clock.ts'
import { Timer } from '../../runtime/timer.ts'
import { Mutex } from '../../runtime/mutex.ts'
import { failure, outcomeOf } from './failure.ts'
import { systemFiles } from './file-system.ts'
import { noCounters } from './parts.ts'
import type { FileConfig, FileCounters } from './parts.ts'
import type { FileSystem } from './file-system.ts'
import { makeFolder, RotatingFile } from './rotating-file.ts'
import { Upkeep } from './upkeep.ts'

export interface FileDeps {
  readonly files?: FileSystem
  readonly clock?: Clock
  /** Hears of what no outcome can tell: a failed timed sync, rotation, compression, a file that cannot be deleted. */
  readonly warn?: (problem: ExportError) => void
}

export const make: MakeExporter<EffectiveType<'file'>> = (config, { encoders, warn }) => ({
  exporter: new FileExporter(config, { warn: (problem) => warn(problem.message) }),
  encoder: encoders.json(),
})

export class FileExporter implements Exporter {
  readonly type = 'file'
  /** What is delivered has been written. */
  readonly releases = true
  readonly encoding: Encoding = 'json'
  readonly counters: Readonly<Record<keyof FileCounters, number>>
  readonly #config: FileConfig
  readonly #files: FileSystem
  readonly #warn: (problem: ExportError) => void
  readonly #current: RotatingFile
  readonly #upkeep: Upkeep
  readonly #syncTimer: Timer
  readonly #rotateTimer: Timer
  #stopped = false
  /** Send, reopen, timers and stop use the file one after the other. */
  readonly #mutex = new Mutex()

  constructor(config: FileConfig, deps: FileDeps = {}) {
    const { files = systemFiles, clock = systemClock, warn = (): void => undefined } = deps
    const parts = { files, clock, warn, counters: noCounters() }
    this.counters = parts.counters
    this.#config = config
    this.#files = files
    this.#warn = warn
    this.#upkeep = new Upkeep(config, parts)
    this.#current = new RotatingFile(config, parts, () => this.#upkeep.rotated())
    this.#syncTimer = new Timer(clock)
    this.#rotateTimer = new Timer(clock)
  }

  /** A full disk or a failing device do not keep the agent from starting; a path that can never work does. */
  start(): Promise<void> {
    return this.#mutex.run(async () => {
      try {
        await makeFolder(this.#files, this.#config.path)
        await this.#current.open()
      } catch (cause) {
        const error = failure('open', this.#config.path, cause)
        if (error.code === 'UNUSABLE') throw error
      }
      this.#armRotation()
      await this.#upkeep.start()
    })
  }

  send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    return this.#mutex.run(() => this.#send(batch, signal))
  }

  /** Opens the path anew. When that fails the open file stays in use, and ExportError says why. */
  reopen(): Promise<void> {
    return this.#mutex.run(async () => {
      try {
        await this.#current.reopen()
      } catch (cause) {
        throw failure('reopen', this.#config.path, cause)
      }
    })
  }

  stop(): Promise<void> {
    return this.#mutex.run(async () => {
      this.#stopped = true
      this.#syncTimer.cancel()
      this.#rotateTimer.cancel()
      await Promise.all([this.#upkeep.stop(), this.#current.close()])
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
      if (this.#config.fsync === 'batch') await this.#syncOrReplace()
      safe = written = now
    }
    try {
      if (this.#stopped) throw new ExportError('CLOSED', `cannot write to "${this.#config.path}": it is closed`)
      await this.#current.ready()
      for (let rest = batch.parts; rest.length > 0;) {
        signal.throwIfAborted()
        const file = this.#current.file ?? (await this.#current.open())
        const { fit, left } = this.#current.cut(rest, file)
        if (fit.length === 0) {
          await secure()
          await this.#current.rotate()
          continue
        }
        const { events, error } = await file.append(fit)
        written += events
        if (error !== undefined) throw error
        rest = left
      }
      await secure()
      this.#armSync()
      this.#armRotation()
      return { status: 'delivered' }
    } catch (cause) {
      if (safe < written) await secure().catch(() => undefined)
      if (safe > 0) this.#armSync()
      if (signal.aborted) {
        const message = `writing to "${this.#config.path}" was stopped after ${safe} of ${batch.count} events`
        return outcomeOf(new ExportError('ABORTED', message, cause), safe)
      }
      return outcomeOf(failure('write to', this.#config.path, cause), safe)
    }
  }

  /**
   * A file whose sync failed has unknown content: it is moved aside. What has not counted as delivered (`batch`) is written again; what
   * has is counted once more, as in doubt.
   */
  async #syncOrReplace(): Promise<void> {
    const { file } = this.#current
    if (file === undefined) return
    try {
      await file.sync()
    } catch (cause) {
      const doubt = this.#current.inDoubt(file)
      await this.#current.rotate()
      const next = this.#current.file === file ? 'the file goes on' : 'a new file is begun'
      const message = `cannot sync "${this.#config.path}": ${doubt}; ${next}`
      throw new ExportError('SYNC_FAILED', message, cause)
    }
  }

  #armSync(): void {
    const { fsync } = this.#config
    if (typeof fsync === 'string' || this.#syncTimer.isSet) return
    this.#syncTimer.set(fsync, () => this.#later('sync', () => this.#syncOrReplace()))
  }

  /** Where nothing more is written, the file gets its rotated name all the same when its time is over. */
  #armRotation(): void {
    const ms = this.#current.msUntilDue()
    if (ms === undefined || this.#rotateTimer.isSet) return
    this.#rotateTimer.set(Math.max(1, ms), () =>
      this.#later('rotate', async () => {
        if (this.#current.msUntilDue() === 0) await this.#current.rotate()
        this.#armRotation()
      }),
    )
  }

  /** Work of a timer, when its turn comes. */
  #later(action: string, work: () => Promise<void>): void {
    const run = async (): Promise<void> => {
      if (!this.#stopped) await work()
    }
    this.#mutex.run(run).catch((cause: unknown) => this.#warn(failure(action, this.#config.path, cause)))
  }
}
