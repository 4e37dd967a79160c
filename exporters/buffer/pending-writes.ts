import { isDescribed } from '../contract/described.ts'
import type { Described } from '../contract/described.ts'
import type { Encoded } from '../contract/exporter.ts'
import type { DropReason } from '../contract/accounting.ts'
import { Signal } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import { frameOf } from './disk/format/payload.ts'
import type { Spool } from './disk/spool.ts'
import type { AppendResult } from './disk/writer.ts'
import type { InFlightBatch } from './in-flight-batch.ts'
import type { Held } from './queue.ts'

/** Waits to be written. A copy is of a batch in flight: held and counted there, not here. */
export interface PendingWrite {
  readonly held: Held
  readonly copyOf: InFlightBatch | undefined
}

export interface PendingWritesDeps {
  readonly clock: Clock
  /** These have been written, at positions from `from` on, and are pending no more; none when a try has failed. */
  readonly onWritten: (done: readonly PendingWrite[], from: number) => void
  /** The disk refuses. Whether some of what is pending has gone elsewhere. */
  readonly onRefused: () => boolean
  /** The spool is full or does not answer, and why; '' when it takes events again. */
  readonly onFailure: (error: string) => void
}

/** Why the spool takes nothing. */
export interface Problem {
  readonly reason: DropReason
  readonly text: string
}

/** Parts written in one call, at most: `append` cuts further as it needs. */
const GROUP_PARTS = 64
/** A disk that is full or fails is tried again after this. */
export const AGAIN_MS = 1000
/** A write that takes longer is a failure. It is waited for all the same: what comes after it must not pass it. */
const HANG_MS = 30_000

/** What waits in memory to be written to the spool, oldest first, and its writing. Copies do not count. */
export class PendingWrites {
  readonly #deps: PendingWritesDeps
  readonly #again: Signal
  #waiting: PendingWrite[] = []
  /** Of these, the first so many are being written now. */
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

  /** The head is being written, and must not change. */
  get isWriting(): boolean {
    return this.#inAppend > 0
  }

  /** While that is so. */
  get problem(): Problem | undefined {
    return this.#problem
  }

  /** Events counted one part after the other: the auditor's count, not the running one. */
  recount(): number {
    return this.#waiting.reduce((sum, { held, copyOf }) => sum + (copyOf === undefined ? held.part.count : 0), 0)
  }

  add(held: Held): void {
    this.#waiting.push({ held, copyOf: undefined })
    this.#events += held.part.count
    this.#bytes += held.part.bytes.length
  }

  addCopy(held: Held, copyOf: InFlightBatch): void {
    held.part.memory?.hold()
    this.#waiting.push({ held, copyOf })
  }

  hasCopyOf(batch: InFlightBatch): boolean {
    return this.#waiting.some(({ copyOf }) => copyOf === batch)
  }

  /** Removes parts from the head while `take` takes them; returns how many went. */
  takeWhile(take: (waiting: PendingWrite) => boolean): number {
    const stop = this.#waiting.findIndex((waiting) => !take(waiting))
    return this.#remove(0, stop < 0 ? this.#waiting.length : stop).length
  }

  /** Removes the oldest part that is not being written and is no record of losses; undefined when there is none. */
  dropOldest(): Encoded | undefined {
    const at = this.#waiting.findIndex(
      ({ held, copyOf }, i) => i >= this.#inAppend && copyOf === undefined && held.losses !== true,
    )
    return at < 0 ? undefined : this.#remove(at, 1)[0]?.held.part
  }

  /** Writes until nothing is pending; does nothing while that goes on. */
  write(spool: Spool): void {
    this.#writing ??= this.#writeAll(spool).then(() => {
      this.#writing = undefined
      if (!this.isEmpty && !this.#ending) this.write(spool)
    })
  }

  /** Tries a disk that refuses again now. */
  retry(): void {
    this.#again.notify()
  }

  /** Writes a last time; resolves when nothing is pending, or that has failed once. */
  async end(spool: Spool): Promise<void> {
    this.#ending = true
    this.#again.notify()
    this.write(spool)
    await this.#writing
  }

  /** Gives up what is pending, also what is being written: it may yet come into the spool. */
  abandon(): void {
    this.#abandoned = true
    this.#remove(0, this.#waiting.length)
  }

  async #writeAll(spool: Spool): Promise<void> {
    for (;;) {
      // Copies of what is settled fall away.
      this.#waiting = this.#waiting.filter(({ copyOf }) => copyOf === undefined || copyOf.count > 0)
      const group = this.#waiting.slice(0, GROUP_PARTS)
      if (group.length === 0) return
      this.#inAppend = group.length
      const result = await this.#append(group, spool)
      if (this.#abandoned) return
      this.#inAppend = 0
      const done = this.#remove(0, result.status === 'written' ? group.length : result.frames)
      // What the disk refuses, the spool itself reports.
      if (result.status === 'failed') this.#problem = problemOf(result)
      else this.#report(result.status === 'written' ? undefined : problemOf(result))
      this.#deps.onWritten(done, result.from)
      if (result.status === 'written') continue
      if (this.#ending) return
      if (!this.#deps.onRefused()) await this.#again.wait(AGAIN_MS)
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

/** The part as the spool needs it. Throws TypeError for one without descriptions. */
export function described(part: Encoded): Described {
  if (isDescribed(part)) return part
  throw new TypeError(`expected described events for a spool, got ${part.count} without a description`)
}

function problemOf(result: Exclude<AppendResult, { status: 'written' }>): Problem {
  if (result.status === 'failed')
    return { reason: 'spool_failed', text: `cannot write the spool: ${result.error.message}` }
  const why = {
    max_bytes: 'its limit is reached',
    min_free: 'the disk has too little free',
    no_space: 'the disk is full',
  }
  return { reason: 'spool_full', text: `the spool takes no more: ${why[result.why]}` }
}
