/**
 * The dead-letter file: one JSON line for each event that a sink permanently refused. Rotated, readable only by its owner.
 * A batch is settled when its records are written, so the sending chain waits for this file. The wait is short even if the file is
 * full, fails or hangs. At most one group of records per waiting batch is in memory. Events that could not be written are counted.
 */
import type { DeadLetterConfig } from '../../config/agent/schema.ts'
import { ExportError, textOf } from '../contract/errors.ts'
import type { Batch, Outcome, Refusal } from '../contract/exporter.ts'
import { FileExporter } from '../sinks/file/exporter.ts'
import type { FileDeps } from '../sinks/file/exporter.ts'
import { Signal, systemClock } from '../../config/base/time/clock.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import { batchOf, ofLines } from '../contract/encoded.ts'
import { within } from '../../config/base/time/deadline.ts'
import { Seldom } from '../../config/base/time/seldom.ts'
import { recordsOf } from './record.ts'
import type { DeadLetterRecord, DeadLetterSource } from './record.ts'

/** Limits of a group, which is written at once; a larger record is a group of its own. */
const GROUP_RECORDS = 1000
const GROUP_BYTES = 1 << 20
/**
 * Time for which the write of a group is retried. While the file fails, the next groups are tried only once: a full disk delays a healthy
 * sink once, not with every batch.
 */
const PATIENCE_MS = 5000
const AGAIN_MS = 500
/** Time for the last batch after a stop; a working disk needs milliseconds. */
const STOP_MS = 1000
/** A power cut may lose this much; the sink has refused the events anyway. */
const FSYNC_MS = 1000

export class DeadLetterFile {
  /**
   * Events written; not written because the file was full or failed; of which the sink only reported a number; and failed writes.
   */
  readonly counters = { written: 0, unwritten: 0, unnamed: 0, failures: 0 }
  readonly #path: string
  readonly #of: DeadLetterSource
  readonly #clock: Clock
  readonly #warnOut: (problem: ExportError) => void
  readonly #file: FileExporter
  /** The last group could not be written. */
  #failing = false
  /** Writes that timed out but still run. */
  #hanging = 0
  /** Deadline of all writes of the last signal that aborted; after a pause the next stop has its own. */
  #last: { readonly signal: AbortSignal; readonly endMs: number } | undefined
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined
  readonly #warnings = new Seldom()

  constructor({ path, ...rotate }: DeadLetterConfig, of: DeadLetterSource, deps: FileDeps = {}) {
    this.#path = path
    this.#of = of
    this.#clock = deps.clock ?? systemClock
    this.#warnOut = deps.warn ?? (() => undefined)
    this.#file = new FileExporter(
      { path, rotate: { ...rotate, compress: false }, mode: '0600', fsync: FSYNC_MS },
      { ...deps, warn: (problem) => this.#warn(problem) },
    )
  }

  /** Opens the file. Rejects with ExportError UNUSABLE for a path that can never work, but not for a full disk. */
  start(): Promise<void> {
    this.#starting ??= this.#file.start().catch((error: unknown) => {
      this.#starting = undefined
      throw error
    })
    return this.#starting
  }

  /**
   * Writes the refused events of a batch. Returns for each refusal how many of its events, from its end, were not written. Never
   * rejects. Settles when all is written, at the latest after ten seconds and a second after `signal` aborts. A Refusal without
   * `which` means all events if it counts the whole batch; otherwise one line has their number.
   */
  async write(batch: Batch, refusals: readonly Refusal[], signal: AbortSignal): Promise<readonly number[]> {
    const unwritten: number[] = []
    // oxlint-disable-next-line no-await-in-loop -- one group in memory at a time
    for (const refusal of refusals) unwritten.push(await this.#writeRefusal(batch, refusal, signal))
    return unwritten
  }

  /** Reopens the path after log rotation (SIGHUP). Rejects with ExportError; the open file then stays in use. */
  reopen(): Promise<void> {
    return this.#file.reopen()
  }

  /** Closes the file after the running writes. Never rejects; a second call does nothing. */
  close(): Promise<void> {
    this.#closing ??= this.#file.stop()
    return this.#closing
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

  /** Returns the number of written records of the group, from its start. */
  async #writeGroup(group: readonly DeadLetterRecord[], signal: AbortSignal): Promise<number> {
    const endMs = this.#clock.nowMs() + (this.#failing ? 0 : PATIENCE_MS)
    let written = 0
    const again = new Signal(this.#clock)
    while (this.#hanging === 0 && !(signal.aborted && this.#stopMs(signal) === 0)) {
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
      again.notify()
    }
    this.#failing = true
    return written
  }

  /** One write. undefined: it timed out and may still run. */
  async #tryOnce(records: readonly DeadLetterRecord[], signal: AbortSignal): Promise<Outcome | undefined> {
    const ended = new AbortController()
    const end = (): void => ended.abort()
    let cancel = this.#clock.after(PATIENCE_MS, end)
    const onStop = (): void => {
      cancel()
      cancel = this.#clock.after(this.#stopMs(signal), end)
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

  /** The time left after the abort of `signal`. */
  #stopMs(signal: AbortSignal): number {
    const nowMs = this.#clock.nowMs()
    if (this.#last?.signal !== signal) this.#last = { signal, endMs: nowMs + STOP_MS }
    return Math.max(0, this.#last.endMs - nowMs)
  }

  async #send(records: readonly DeadLetterRecord[], signal: AbortSignal): Promise<Outcome> {
    try {
      await this.start()
    } catch (cause) {
      this.#starting = undefined
      return { status: 'hold', error: cause instanceof Error ? cause : new Error(textOf(cause)) }
    }
    const lines = records.map(({ bytes }) => bytes)
    return this.#file.send(batchOf([ofLines('json', lines)]), signal)
  }

  #giveUp(events: number): void {
    if (events <= 0) return
    this.counters.unwritten += events
    const message =
      `cannot write rejected events of exporter "${this.#of.exporter}" to the dead-letter file "${this.#path}"; ` +
      `events dropped so far with reason dead_letter_failed: ${this.counters.unwritten}`
    this.#warn(new ExportError('IO', message))
  }

  #hangs(): ExportError {
    const message = `writing to "${this.#path}" has not ended within ${PATIENCE_MS} ms; check its disk`
    return new ExportError('TIMEOUT', message)
  }

  /** Warns at most once a minute, because a failing file fails with every write. */
  #warn(problem: Error): void {
    if (!this.#warnings.due(this.#clock.nowMs())) return
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
