/**
 * Keeps what a sink has refused for good: one JSON line an event in a rotated file that only its owner may read.
 * Constraints: the sending chain never waits for it and never fails by it; what waits in memory is bounded; what could
 * not be written is counted. The events themselves are in the books already, as rejected.
 */
import { ExportError, textOf } from '../errors.ts'
import type { Batch, Encoded, Refusal } from '../exporter.ts'
import { Alarm } from '../file/alarm.ts'
import { FileExporter } from '../file/exporter.ts'
import type { FileDeps } from '../file/exporter.ts'
import { systemClock } from '../sending/clock.ts'
import type { Clock } from '../sending/clock.ts'
import { batchOf } from '../sending/encoded.ts'
import { lettersOf } from './letter.ts'
import type { Letter } from './letter.ts'

export interface DeadLetterOptions {
  /** Name of the exporter whose sink refuses, as written in each line. */
  readonly exporter: string
  /** Of this run of the agent. */
  readonly epoch: string
  readonly path: string
  /** The file is rotated before a line would make it larger; a single larger line gets a file of its own. */
  readonly maxSizeBytes: number
  /** Rotated files kept beside the current one. */
  readonly maxFiles: number
  /** Most bytes of lines that wait in memory to be written, unless they are of one batch alone; 4 MiB when absent. */
  readonly maxQueuedBytes?: number
}

const QUEUED_BYTES = 4 << 20
/** Lines written in one call, at most. */
const GROUP_LINES = 1000
const AGAIN_MS = 5000
const WARN_MS = 60_000
/** A power cut may cost this much of it: the events are not wanted by their sink anyway. */
const FSYNC_MS = 1000

export class DeadLetterFile implements AsyncDisposable {
  /**
   * Events whose line is in the file; that are in no line, for want of room or because the file failed until the end; of
   * which the sink said only how many; and tries to write that failed.
   */
  readonly counters = { written: 0, unwritten: 0, unnamed: 0, failures: 0 }
  readonly #options: DeadLetterOptions
  readonly #clock: Clock
  readonly #warnOut: (problem: ExportError) => void
  readonly #file: FileExporter
  readonly #again: Alarm
  #letters: Letter[] = []
  #queuedBytes = 0
  #starting: Promise<void> | undefined
  #pumping: Promise<void> | undefined
  #closing: Promise<void> | undefined
  #warnedMs = Number.NEGATIVE_INFINITY

  constructor(options: DeadLetterOptions, deps: FileDeps = {}) {
    const { path, maxSizeBytes, maxFiles } = options
    this.#options = options
    this.#clock = deps.clock ?? systemClock
    this.#warnOut = deps.warn ?? (() => undefined)
    this.#file = new FileExporter(
      { path, maxSizeBytes, maxFiles, mode: 0o600, fsync: { intervalMs: FSYNC_MS } },
      { ...deps, warn: (problem) => this.#warn(problem) },
    )
    this.#again = new Alarm(this.#clock)
  }

  /** Opens the file. Rejects with ExportError UNUSABLE for a path that can never work; not for a full disk. */
  start(): Promise<void> {
    this.#starting ??= this.#file.start()
    return this.#starting
  }

  /**
   * Takes over the refused events of a batch. Returns at once, never throws, and keeps none of the batch's bytes. A
   * Refusal without `which` names all events when it counts as many as the batch has, else none of them: then one line
   * says how many they were.
   */
  write(batch: Batch, refusals: readonly Refusal[]): void {
    const { exporter, epoch, maxQueuedBytes = QUEUED_BYTES } = this.#options
    const context = { exporter, epoch, wallMs: this.#clock.wallMs() }
    // A file that keeps up takes every batch whole, however large: the sender has room for it too.
    const waiting = this.#queuedBytes > 0
    for (const refusal of refusals) {
      let left = Math.min(refusal.events, batch.count)
      if (this.#closing === undefined) {
        for (const letter of lettersOf(batch, refusal, context)) {
          if (waiting && this.#queuedBytes + letter.bytes.length > maxQueuedBytes) break
          this.#letters.push(letter)
          this.#queuedBytes += letter.bytes.length
          left -= letter.named + letter.unnamed
        }
      }
      this.#giveUp(left)
    }
    // While the file fails, the alarm tries again: not each refusal.
    if (!this.#again.isSet) void this.#pump()
  }

  /** Settles when what waits is in the file, or has been tried once more and failed. Never rejects. */
  async flush(): Promise<void> {
    await this.#pumping
    await this.#pump()
  }

  /** Opens the path anew, for log rotators (SIGHUP). Rejects with ExportError; the open file then stays in use. */
  reopen(): Promise<void> {
    return this.#file.reopen()
  }

  /** Writes what waits, gives up what cannot be written, closes. Never rejects; a second call does nothing. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.flush()
    this.#again.cancel()
    this.#giveUp(this.#letters.splice(0).reduce((sum, { named, unnamed }) => sum + named + unnamed, 0))
    this.#queuedBytes = 0
    await this.#file.stop()
  }

  #pump(): Promise<void> {
    this.#pumping ??= this.#writeAll()
    return this.#pumping
  }

  async #writeAll(): Promise<void> {
    // Not in the caller's turn: refusals of one batch come one after the other.
    await Promise.resolve()
    this.#again.cancel()
    let problem: Error | undefined
    while (this.#letters.length > 0 && problem === undefined) problem = await this.#writeSome()
    this.#pumping = undefined
    if (problem === undefined) return
    this.counters.failures++
    this.#warn(problem)
    this.#again.set(AGAIN_MS, () => void this.#pump())
  }

  /** Writes the letters at the head of the queue and takes them off it, as many as the file took. */
  async #writeSome(): Promise<Error | undefined> {
    try {
      await this.start()
    } catch (error) {
      this.#starting = undefined
      return error instanceof Error ? error : new Error(textOf(error))
    }
    const group = this.#letters.slice(0, GROUP_LINES)
    const outcome = await this.#file.send(batchOf([encodedOf(group)]), new AbortController().signal)
    const taken =
      outcome.status === 'delivered' ? group.length : outcome.status === 'retryable' ? (outcome.taken ?? 0) : 0
    for (const { bytes, named, unnamed } of this.#letters.splice(0, taken)) {
      this.#queuedBytes -= bytes.length
      this.counters.written += named
      this.counters.unnamed += unnamed
    }
    return 'error' in outcome ? outcome.error : undefined
  }

  #giveUp(events: number): void {
    if (events <= 0) return
    this.counters.unwritten += events
    const { exporter, path } = this.#options
    const message =
      `cannot keep what the sink of exporter "${exporter}" refused: the dead-letter file "${path}" is slower than the ` +
      `refusals or cannot be written; ${this.counters.unwritten} events are in no file so far`
    this.#warn(new ExportError('IO', message))
  }

  /** A file that fails does so with every try: one warning a minute says enough. */
  #warn(problem: Error): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#warnedMs < WARN_MS) return
    this.#warnedMs = nowMs
    this.#warnOut(problem instanceof ExportError ? problem : new ExportError('IO', problem.message, problem))
  }
}

function encodedOf(letters: readonly Letter[]): Encoded {
  let end = 0
  const ends = Uint32Array.from(letters, ({ bytes }) => (end += bytes.length))
  const bytes = Buffer.concat(letters.map((letter) => letter.bytes))
  return { encoding: 'json', bytes, ends, count: letters.length, firstSeq: 0 }
}
