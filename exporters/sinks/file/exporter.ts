/**
 * Appends whole lines to a file and rotates it by size and by time.
 * No line is torn or repeated. One writer. Disk failures are outcomes, never exceptions.
 */
import type { EffectiveType } from '../../../config/agent/effective.ts'
import type { MakeExporter } from '../context.ts'
import { ExportError } from '../../contract/errors.ts'
import type { Batch, Encoding, Exporter, Outcome } from '../../contract/exporter.ts'
import { systemClock } from '../../../config/base/time/clock.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import { Timer } from '../../../config/base/time/timer.ts'
import { Mutex } from '../../../config/base/mutex.ts'
import { failure, outcomeOf } from './failure.ts'
import { systemFiles } from './file-system.ts'
import { noCounters } from './parts.ts'
import type { FileConfig, FileCounters, FileParts } from './parts.ts'
import type { FileSystem } from './file-system.ts'
import { probeFile } from './probe.ts'
import { makeFolder, RotatingFile } from './rotating-file.ts'
import { Upkeep } from './upkeep.ts'

export interface FileDeps {
  readonly files?: FileSystem
  readonly clock?: Clock
  /** Receives failures outside `send`: of a timed sync, rotation, compression or deletion. */
  readonly warn?: (problem: ExportError) => void
}

export const make: MakeExporter<EffectiveType<'file'>> = (config, { encoders, numbering, warn }) => ({
  exporter: new FileExporter(config, { warn: (problem) => warn(problem.message) }),
  encoder: encoders.linesFor({ numbering, envelope: config.envelope, extended: config.format === 'extended' }),
  numbered: config.envelope,
})

export class FileExporter implements Exporter {
  readonly type = 'file'
  /** Delivered events have been written, so nothing reads their bytes again. */
  readonly releases = true
  readonly encoding: Encoding = 'json'
  readonly counters: Readonly<Record<keyof FileCounters, number>>
  readonly #config: FileConfig
  readonly #parts: FileParts
  readonly #current: RotatingFile
  readonly #upkeep: Upkeep
  readonly #syncTimer: Timer
  readonly #rotateTimer: Timer
  #stopped = false
  /** Serializes send, reopen, timers and stop. */
  readonly #mutex = new Mutex()

  constructor(config: FileConfig, deps: FileDeps = {}) {
    const { files = systemFiles, clock = systemClock, warn = (): void => undefined } = deps
    const parts = { files, clock, warn, counters: noCounters() }
    this.counters = parts.counters
    this.#config = config
    this.#parts = parts
    this.#upkeep = new Upkeep(config, parts)
    this.#current = new RotatingFile(config, parts, () => this.#upkeep.rotated())
    this.#syncTimer = new Timer(clock)
    this.#rotateTimer = new Timer(clock)
  }

  /** Rejects for a path that can never work, but not for a full disk or a failing device. */
  start(): Promise<void> {
    return this.#mutex.run(async () => {
      try {
        await makeFolder(this.#parts.files, this.#config.path)
        await this.#current.open()
      } catch (cause) {
        const error = failure('open', this.#config.path, cause)
        if (error.code === 'UNUSABLE') throw error
      }
      this.#armRotation()
      await this.#upkeep.start()
    })
  }

  probe(): Promise<string> {
    return probeFile(this.#config.path)
  }

  send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    return this.#mutex.run(() => this.#send(batch, signal))
  }

  /** Reopens the path. Rejects with ExportError if that fails; the open file then stays in use. */
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
    /** Events in the file, and how many of them count as delivered under the sync policy. */
    let written = 0
    let safe = 0
    const secure = async (): Promise<void> => {
      const now = written
      // Events count when the sync succeeds; after a failed sync they are written again.
      written = safe
      if (this.#config.fsync === 'batch') await this.#sync()
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

  /** The file stays in use after a failed sync: an error must not displace a file, because each new one costs the oldest archive. */
  async #sync(): Promise<void> {
    const { file } = this.#current
    if (file === undefined) return
    try {
      await file.sync()
    } catch (cause) {
      const doubt = this.#current.inDoubt(file)
      throw new ExportError('SYNC_FAILED', failure('sync', this.#config.path, cause, doubt).message, cause)
    }
  }

  #armSync(): void {
    const { fsync } = this.#config
    if (typeof fsync === 'string' || this.#syncTimer.isSet) return
    this.#syncTimer.set(fsync, () => this.#later('sync', () => this.#sync()))
  }

  /** Rotates the file at the end of its interval even if nothing is written. */
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

  /** Runs the job of a timer when the file is free. */
  #later(action: string, work: () => Promise<void>): void {
    const run = async (): Promise<void> => {
      if (!this.#stopped) await work()
    }
    this.#mutex.run(run).catch((cause: unknown) => this.#parts.warn(failure(action, this.#config.path, cause)))
  }
}
