/**
 * Deletes the oldest rotated files and compresses the others.
 * Failures never stop writing; they are reported and counted. Files are deleted within the call that rotated, so that a burst
 * cannot fill the disk. Compression runs in parallel to writing, one file at a time; after a crash the next start finishes or
 * removes it.
 */
import { ExportError, errnoOf } from '../../contract/errors.ts'
import { Timer } from '../../../config/base/time/timer.ts'
import { compress, remove } from './compress.ts'
import { failure } from './failure.ts'
import { COMPRESSED, listRotated } from './names.ts'
import type { Rotated } from './names.ts'
import { surplus, untilTooOld } from './retention.ts'
import type { FileConfig, FileParts } from './parts.ts'

export class Upkeep {
  readonly #config: FileConfig
  readonly #parts: FileParts
  readonly #ended = new AbortController()
  readonly #age: Timer
  #compressing: Promise<void> | undefined
  #foretold = false
  /** There may be new files that the running pass does not see. */
  #again = false

  constructor(config: FileConfig, parts: FileParts) {
    this.#config = config
    this.#parts = parts
    this.#age = new Timer(parts.clock)
  }

  /** Like `rotated`; also cleans up a compression interrupted by a crash. */
  async start(): Promise<void> {
    await this.#prune()
    this.#compressSoon()
  }

  /** Call after each rotation. Resolves when the oldest files are deleted; never rejects. */
  async rotated(): Promise<void> {
    await this.#prune()
    if (this.#config.rotate.compress) this.#compressSoon()
  }

  /** Aborts a running compression; its file is unchanged. Never rejects. */
  async stop(): Promise<void> {
    this.#ended.abort()
    this.#age.cancel()
    await this.#compressing
  }

  async #prune(): Promise<void> {
    const { path, rotate } = this.#config
    const { files, clock, counters } = this.#parts
    try {
      const { rotated } = await listRotated(files, path)
      const gone = surplus(rotated, rotate, clock.wallMs())
      this.#foretell(rotated)
      for (const file of gone) await this.#delete(file.path)
      this.#armAge(rotated.slice(gone.length))
    } catch (cause) {
      counters.retention_failures++
      this.#warn('list rotated files of', path, cause)
    }
  }

  /** Warns once, one rotation before the first file is deleted for its number or size. */
  #foretell(rotated: readonly Rotated[]): void {
    const { path, rotate } = this.#config
    const { max_files, max_size, max_total_size = Infinity } = rotate
    const next = { max_files: max_files - 1, max_total_size: max_total_size - max_size }
    const [oldest] = surplus(rotated, next, this.#parts.clock.wallMs())
    if (oldest === undefined || this.#foretold) return
    this.#foretold = true
    this.#parts.counters.deletions_foretold++
    const since = new Date(oldest.wallMs).toISOString()
    const sentence = `the next rotation of "${path}" deletes events: all before ${since}`
    const remedy = 'raise rotate.max_files, filter the events, or send them to a sink that keeps them'
    this.#parts.warn(new ExportError('NO_SPACE', `${sentence}; ${remedy}`))
  }

  async #delete(path: string): Promise<void> {
    const { files, counters } = this.#parts
    try {
      if (await remove(files, path)) counters.deleted_files++
    } catch (cause) {
      counters.retention_failures++
      this.#warn('delete', path, cause)
    }
  }

  /** Files are also deleted by age while nothing is written or rotated. */
  #armAge(kept: readonly Rotated[]): void {
    const ms = untilTooOld(kept, this.#config.rotate, this.#parts.clock.wallMs())
    if (ms === undefined || this.#ended.signal.aborted) this.#age.cancel()
    else this.#age.set(ms, () => void this.#prune())
  }

  #compressSoon(): void {
    this.#again = true
    this.#compressing ??= this.#compressAll()
  }

  async #compressAll(): Promise<void> {
    const { path } = this.#config
    const { files, counters } = this.#parts
    // Runs asynchronously, so `#compressing` is set before it ends.
    await Promise.resolve()
    while (this.#again && !this.#ended.signal.aborted) {
      this.#again = false
      try {
        const { rotated, unfinished } = await listRotated(files, path)
        for (const leftover of unfinished) await remove(files, leftover)
        const whole = new Set(rotated.map((file) => file.path))
        const before = counters.compressions
        for (const file of rotated) {
          // Even if compression is now off: after a crash the same lines may be in two files.
          if (file.compressed || !(this.#config.rotate.compress || whole.has(file.path + COMPRESSED))) continue
          await this.#compress(file)
        }
        // A file deleted while it was compressed exists again.
        if (counters.compressions > before) await this.#prune()
      } catch (cause) {
        counters.compression_failures++
        this.#warn('list files to compress beside', path, cause)
      }
    }
    this.#compressing = undefined
  }

  async #compress(file: Rotated): Promise<void> {
    const { files, counters } = this.#parts
    const { signal } = this.#ended
    if (signal.aborted) return
    try {
      await compress(files, file, signal)
      counters.compressions++
    } catch (cause) {
      // Deleted since it was listed.
      if (signal.aborted || errnoOf(cause) === 'ENOENT') return
      counters.compression_failures++
      this.#warn('compress', file.path, cause)
    }
  }

  #warn(action: string, path: string, cause: unknown): void {
    this.#parts.warn(failure(action, path, cause, 'it is retried at the next rotation'))
  }
}
