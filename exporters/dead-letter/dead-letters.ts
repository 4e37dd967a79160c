/**
 * Keeps what a sink has refused for good: one JSON line an event in a rotated file that only its owner may read.
 * Constraints: a batch is settled when its records are written, so the sending chain waits for this file, but never for long where it has no
 * room, fails or hangs; one group of records is in memory for each batch that waits; what could not be written is counted.
 */
import type { DeadLetterConfig } from '../../config/agent/schema.ts'
import { ExportError, textOf } from '../contract/errors.ts'
import type { Batch, Encoded, Outcome, Refusal } from '../contract/exporter.ts'
import { FileExporter } from '../sinks/file/exporter.ts'
import type { FileDeps } from '../sinks/file/exporter.ts'
import { Signal, systemClock } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import { batchOf } from '../contract/encoded.ts'
import { within } from '../runtime/timeout.ts'
import { recordsOf } from './record.ts'
import type { DeadLetterRecord } from './record.ts'

/** Whose events they are. */
export interface DeadLetterOf {
  /** Name of the exporter whose sink refuses, as written in each line. */
  readonly exporter: string
  /** Of this run of the agent. */
  readonly epoch: string
}

/** Records made and written at a time, at most; a single larger one is a group by itself. */
const GROUP_RECORDS = 1000
const GROUP_BYTES = 1 << 20
/**
 * How long a group waits for a file that does not take it. While the file fails, the next groups are tried once and do not wait: a full
 * disk costs a healthy sink this pause once, not with every batch.
 */
const PATIENCE_MS = 5000
const AGAIN_MS = 500
/** What a stop leaves to the batch that it finds here: a disk that works needs milliseconds. */
const STOP_MS = 1000
const WARN_MS = 60_000
/** A power cut may cost this much of it: the events are not wanted by their sink anyway. */
const FSYNC_MS = 1000

export class DeadLetterFile implements AsyncDisposable {
  /**
   * Events whose record is in the file; that are in no record, because the file had no room or failed; of which the sink said only
   * how many; and tries to write that failed.
   */
  readonly counters = { written: 0, unwritten: 0, unnamed: 0, failures: 0 }
  readonly #path: string
  readonly #of: DeadLetterOf
  readonly #clock: Clock
  readonly #warnOut: (problem: ExportError) => void
  readonly #file: FileExporter
  /** The last group was given up. */
  #failing = false
  /** Writes that nobody waits for any more and that go on all the same. */
  #hanging = 0
  /** When all writes end; known once a signal has aborted. */
  #lastMs: number | undefined
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined
  #warnedMs = Number.NEGATIVE_INFINITY

  constructor({ path, ...rotate }: DeadLetterConfig, of: DeadLetterOf, deps: FileDeps = {}) {
    this.#path = path
    this.#of = of
    this.#clock = deps.clock ?? systemClock
    this.#warnOut = deps.warn ?? (() => undefined)
    this.#file = new FileExporter(
      { path, rotate: { ...rotate, compress: false }, mode: '0600', fsync: FSYNC_MS },
      { ...deps, warn: (problem) => this.#warn(problem) },
    )
  }

  /** Opens the file. Rejects with ExportError UNUSABLE for a path that can never work; not for a full disk. */
  start(): Promise<void> {
    this.#starting ??= this.#file.start()
    return this.#starting
  }

  /**
   * Writes the refused events of a batch. Returns for each refusal how many of its events, from its end, are in no record. Never rejects.
   * Settles when all is written; else within ten seconds, and a second after `signal` aborts. A Refusal without `which` names all events when
   * it counts as many as the batch has, else none of them: then one line says how many they were.
   */
  async write(batch: Batch, refusals: readonly Refusal[], signal: AbortSignal): Promise<readonly number[]> {
    const unwritten: number[] = []
    // oxlint-disable-next-line no-await-in-loop -- one group in memory at a time
    for (const refusal of refusals) unwritten.push(await this.#writeRefusal(batch, refusal, signal))
    return unwritten
  }

  /** Opens the path anew, for log rotators (SIGHUP). Rejects with ExportError; the open file then stays in use. */
  reopen(): Promise<void> {
    return this.#file.reopen()
  }

  /** Closes the file when the writes under way have ended. Never rejects; a second call does nothing. */
  close(): Promise<void> {
    this.#closing ??= this.#file.stop()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #writeRefusal(batch: Batch, refusal: Refusal, signal: AbortSignal): Promise<number> {
    const context = { ...this.#of, wallMs: this.#clock.wallMs() }
    let left = Math.min(refusal.events, batch.count)
    for (const group of groupsOf(recordsOf(batch, refusal, context))) {
      const written = group.slice(0, await this.#writeGroup(group, signal))
      for (const { named, unnamed } of written) {
        left -= named + unnamed
        this.counters.written += named
        this.counters.unnamed += unnamed
      }
      if (written.length < group.length) break
    }
    this.#giveUp(left)
    return left
  }

  /** Returns how many records of the group, from its head, are in the file. */
  async #writeGroup(group: readonly DeadLetterRecord[], signal: AbortSignal): Promise<number> {
    const endMs = this.#clock.nowMs() + (this.#failing ? 0 : PATIENCE_MS)
    let written = 0
    const again = new Signal(this.#clock)
    while (this.#hanging === 0 && !(signal.aborted && this.#stopMs() === 0)) {
      const outcome = await this.#tryOnce(group.slice(written), signal)
      if (outcome?.status === 'delivered') {
        this.#failing = false
        return group.length
      }
      if (outcome?.status === 'retryable') written += outcome.taken ?? 0
      this.counters.failures++
      this.#warn(outcome !== undefined && 'error' in outcome ? outcome.error : this.#hangs())
      if (signal.aborted || this.#clock.nowMs() >= endMs) break
      await within(again.wait(Math.min(AGAIN_MS, endMs - this.#clock.nowMs())), signal)
      again.ring()
    }
    this.#failing = true
    return written
  }

  /** One write. undefined: it has not ended in time; it may go on. */
  async #tryOnce(records: readonly DeadLetterRecord[], signal: AbortSignal): Promise<Outcome | undefined> {
    const ended = new AbortController()
    const end = (): void => ended.abort()
    let cancel = this.#clock.after(PATIENCE_MS, end)
    const onStop = (): void => {
      cancel()
      cancel = this.#clock.after(this.#stopMs(), end)
    }
    signal.addEventListener('abort', onStop)
    if (signal.aborted) onStop()
    const writing = this.#send(records, ended.signal)
    const outcome = await within(writing, ended.signal)
    signal.removeEventListener('abort', onStop)
    cancel()
    if (outcome === undefined) {
      this.#hanging++
      void writing.finally(() => this.#hanging--)
    }
    return outcome
  }

  /** What is left of the time after an abort. */
  #stopMs(): number {
    const nowMs = this.#clock.nowMs()
    this.#lastMs ??= nowMs + STOP_MS
    return Math.max(0, this.#lastMs - nowMs)
  }

  async #send(records: readonly DeadLetterRecord[], signal: AbortSignal): Promise<Outcome> {
    try {
      await this.start()
    } catch (cause) {
      this.#starting = undefined
      return { status: 'hold', error: cause instanceof Error ? cause : new Error(textOf(cause)) }
    }
    return this.#file.send(batchOf([encodedOf(records)]), signal)
  }

  #giveUp(events: number): void {
    if (events <= 0) return
    this.counters.unwritten += events
    const message =
      `cannot keep what the sink of exporter "${this.#of.exporter}" refused: the dead-letter file "${this.#path}" takes no records; ` +
      `${this.counters.unwritten} events are in no file so far, counted as dropped with reason dead_letter_failed`
    this.#warn(new ExportError('IO', message))
  }

  #hangs(): ExportError {
    const message = `writing to "${this.#path}" has not ended within ${PATIENCE_MS} ms; look at its disk`
    return new ExportError('TIMEOUT', message)
  }

  /** A file that fails does so with every try: one warning a minute is enough. */
  #warn(problem: Error): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#warnedMs < WARN_MS) return
    this.#warnedMs = nowMs
    this.#warnOut(problem instanceof ExportError ? problem : new ExportError('IO', problem.message, problem))
  }
}

function* groupsOf(records: Iterable<DeadLetterRecord>): Generator<readonly DeadLetterRecord[]> {
  let group: DeadLetterRecord[] = []
  let bytes = 0
  for (const record of records) {
    if (group.length > 0 && (group.length >= GROUP_RECORDS || bytes + record.bytes.length > GROUP_BYTES)) {
      yield group
      group = []
      bytes = 0
    }
    group.push(record)
    bytes += record.bytes.length
  }
  if (group.length > 0) yield group
}

function encodedOf(records: readonly DeadLetterRecord[]): Encoded {
  let end = 0
  const ends = Uint32Array.from(records, ({ bytes }) => (end += bytes.length))
  const bytes = Buffer.concat(records.map((record) => record.bytes))
  return { encoding: 'json', bytes, ends, count: records.length, firstSeq: 0 }
}
