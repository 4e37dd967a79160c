import { isDescribed } from '../contract/encoded.ts'
import type { Described } from '../contract/described.ts'
import type { Encoded } from '../contract/exporter.ts'
import type { DropReason } from '../contract/accounting.ts'
import { Signal } from '../../config/base/time/clock.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import { frameOf } from './disk/format/payload.ts'
import type { Spool } from './disk/spool.ts'
import type { AppendResult } from './disk/writer.ts'
import type { InFlightBatch } from './in-flight-batch.ts'
import type { QueuedPart } from './queue.ts'

/** A part to be written. A copy belongs to a batch in flight and is counted there. */
export interface PendingWrite {
  readonly held: QueuedPart
  readonly copyOf: InFlightBatch | undefined
}

export interface PendingWritesDeps {
  readonly clock: Clock
  /** `done` was written from position `from` on; it is empty after a failure. */
  readonly onWritten: (done: readonly PendingWrite[], from: number) => void
  /** The disk fails: pending events may move elsewhere until `onRetry`. */
  readonly onRefused: () => void
  /** The disk is tried again: events that moved elsewhere may come back, by `addFirst`. */
  readonly onRetry: () => void
  /** Called with the error when the spool is full or hangs; with '' when it accepts events again. */
  readonly onFailure: (error: string) => void
}

/** Why the spool accepts nothing. */
export interface Problem {
  readonly reason: DropReason
  readonly text: string
}

/** Maximum parts per call; `append` splits further if needed. */
const GROUP_PARTS = 64
/** Wait before a full or failing disk is retried. */
export const AGAIN_MS = 1000
/** A longer write is reported as a failure, but later events still wait for it, to keep the order. */
const HANG_MS = 30_000

/** Events in memory waiting to be written to the spool, oldest first. Copies are not counted. */
export class PendingWrites {
  readonly #deps: PendingWritesDeps
  readonly #again: Signal
  #waiting: PendingWrite[] = []
  /** The first so many are being written. */
  #inAppend = 0
  #events = 0
  #bytes = 0
  #problem: Problem | undefined
  #writing: Promise<void> | undefined
  #ending = false
  #abandoned = false

  constructor(deps: PendingWritesDeps) {
    this.#deps = deps
    this.#again = new Signal(deps.clock)
  }

  get events(): number {
    return this.#events
  }

  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** The first parts are being written and must not change. */
  get isWriting(): boolean {
    return this.#inAppend > 0
  }

  /** Writes, or waits to retry a failing disk. */
  get isActive(): boolean {
    return this.#writing !== undefined
  }

  get problem(): Problem | undefined {
    return this.#problem
  }

  /** Events, recounted to verify the running count. */
  recount(): number {
    return this.#waiting.reduce((sum, { held, copyOf }) => sum + (copyOf === undefined ? held.part.count : 0), 0)
  }

  add(held: QueuedPart): void {
    this.#waiting.push({ held, copyOf: undefined })
    this.#count(held)
  }

  /** Adds older events before those that are pending. Must not be called while `isWriting`. */
  addFirst(batches: readonly InFlightBatch[], queued: readonly QueuedPart[]): void {
    const copies = batches.flatMap((copyOf) => copyOf.held.map((held) => ({ held, copyOf })))
    for (const { held } of copies) held.part.memory?.hold()
    for (const held of queued) this.#count(held)
    this.#waiting = [...copies, ...queued.map((held) => ({ held, copyOf: undefined })), ...this.#waiting]
  }

  /** Events of the batch whose copies are not yet written: its last ones. */
  copiesOf(batch: InFlightBatch): number {
    return this.#waiting.reduce((sum, { held, copyOf }) => sum + (copyOf === batch ? held.part.count : 0), 0)
  }

  /** Removes the first parts while `take` accepts them; returns how many. */
  takeWhile(take: (waiting: PendingWrite) => boolean): number {
    const stop = this.#waiting.findIndex((waiting) => !take(waiting))
    return this.#remove(0, stop < 0 ? this.#waiting.length : stop).length
  }

  /** Removes the oldest part that is neither being written nor a loss record; undefined if there is none. */
  dropOldest(): Encoded | undefined {
    const at = this.#waiting.findIndex(
      ({ held, copyOf }, i) => i >= this.#inAppend && copyOf === undefined && held.losses !== true,
    )
    return at < 0 ? undefined : this.#remove(at, 1)[0]?.held.part
  }

  /** Writes until nothing is pending; does nothing if already writing. */
  write(spool: Spool): void {
    this.#writing ??= this.#writeAll(spool).then(() => {
      this.#writing = undefined
      if (!this.isEmpty && !this.#ending) this.write(spool)
    })
  }

  /** Retries a failing disk now. */
  retry(): void {
    this.#again.notify()
  }

  /** Writes a last time; resolves when nothing is pending, or after one failure. */
  async end(spool: Spool): Promise<void> {
    this.#ending = true
    this.#again.notify()
    this.write(spool)
    await this.#writing
  }

  /** Discards all pending events. Events being written may still get into the spool. */
  abandon(): void {
    this.#abandoned = true
    this.#remove(0, this.#waiting.length)
  }

  async #writeAll(spool: Spool): Promise<void> {
    for (;;) {
      // Skip copies of settled events.
      this.#waiting = this.#waiting.filter(({ copyOf }) => copyOf === undefined || copyOf.count > 0)
      const group = this.#waiting.slice(0, GROUP_PARTS)
      if (group.length === 0) return
      this.#inAppend = group.length
      const result = await this.#append(group, spool)
      if (this.#abandoned) return
      this.#inAppend = 0
      const done = this.#remove(0, result.status === 'written' ? group.length : result.frames)
      // The spool itself reports disk errors.
      if (result.status === 'failed') this.#problem = problemOf(result)
      else this.#report(result.status === 'written' ? undefined : problemOf(result))
      this.#deps.onWritten(done, result.from)
      if (result.status === 'written') continue
      if (this.#ending) return
      this.#deps.onRefused()
      await this.#again.wait(AGAIN_MS)
      this.#deps.onRetry()
    }
  }

  async #append(group: readonly PendingWrite[], spool: Spool): Promise<AppendResult> {
    const text = `cannot write the spool: the disk has not answered for ${HANG_MS / 1000} s; events wait for it`
    const cancel = this.#deps.clock.after(HANG_MS, () => this.#report({ reason: 'spool_failed', text }))
    const result = await spool.append(group.map(({ held }) => frameOf(described(held.part))))
    cancel()
    return result
  }

  #report(problem: Problem | undefined): void {
    if (problem?.text !== this.#problem?.text) this.#deps.onFailure(problem?.text ?? '')
    this.#problem = problem
  }

  #count({ part }: QueuedPart): void {
    this.#events += part.count
    this.#bytes += part.bytes.length
  }

  #remove(at: number, parts: number): PendingWrite[] {
    const gone = this.#waiting.splice(at, parts)
    for (const { held, copyOf } of gone) {
      if (copyOf !== undefined) continue
      this.#events -= held.part.count
      this.#bytes -= held.part.bytes.length
    }
    return gone
  }
}

/** The part as a frame for the spool. Throws TypeError for a part without descriptions. */
export function described(part: Encoded): Described {
  if (isDescribed(part)) return part
  throw new TypeError(`expected described events for a spool, got ${part.count} without a description`)
}

function problemOf(result: Exclude<AppendResult, { status: 'written' }>): Problem {
  if (result.status === 'failed')
    return { reason: 'spool_failed', text: `cannot write the spool: ${result.error.message}` }
  const why = {
    max_bytes: 'its limit is reached',
    min_free: 'too little free space on the disk',
    no_space: 'the disk is full',
  }
  return { reason: 'spool_full', text: `the spool is full: ${why[result.why]}` }
}
