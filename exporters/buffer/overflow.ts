/**
 * The way over the disk, for what memory has no room for or must not lose while the sink is away.
 *
 *     queue ─ begin ─▶ tail ─ append ─▶ spool ─ read ─▶ flight
 *     offer ───────────┘
 *
 * Constraints: the order of the offers is kept: while anything is here (`active`), the queue in memory is empty and
 * nothing new goes into it. What was in flight when this began is written too, before all else, so that an end of the
 * process neither loses nor reorders it; when it is settled in time, the copy is skipped. Only while the disk cannot be
 * written, what waits for it goes back to the queue, as far as that changes no order.
 */
import { isDescribed } from '../contract/described.ts'
import type { Described } from '../contract/described.ts'
import type { DropReason, Encoded, Encoding } from '../contract/exporter.ts'
import type { Loss } from './disk/losses.ts'
import { frameOf, pieceOf } from './disk/format/payload.ts'
import type { ReadFrame } from './disk/reader.ts'
import type { Spool } from './disk/spool.ts'
import type { AppendResult } from './disk/writer.ts'
import type { Counters } from './counters.ts'
import { Signal } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import { Copies } from './copies.ts'
import { slice } from '../contract/encoded.ts'
import { InFlightBatch, Receipt } from './in-flight-batch.ts'
import { reserveOf } from './queue.ts'
import type { Held, Queue } from './queue.ts'
import { PendingWrites } from './pending-writes.ts'
import type { Waiting } from './pending-writes.ts'

export interface OverflowOptions {
  /** Bound what is in memory: what waits to be written and what the queue has. */
  readonly maxBytes: number
  readonly maxEvents: number
  /** Nothing goes through the queue. */
  readonly always: boolean
  readonly encoding: Encoding
}

export interface OverflowDeps {
  readonly spool: Pick<Spool, 'append' | 'next' | 'ack' | 'releases'>
  readonly queue: Queue
  readonly accounting: Counters
  readonly clock: Clock
  /** What is under way; a batch that is read is added in the moment in which it leaves the spool's account. */
  readonly inFlightBatches: Set<InFlightBatch>
  /** Something can be read, or waits in the queue again. */
  readonly onReady: () => void
  /** There is room again. */
  readonly onRoom: () => void
  /** The spool is full or does not answer, and why; '' when it takes events again. */
  readonly onFailure: (error: string) => void
}

interface Problem {
  readonly reason: DropReason
  readonly text: string
}

/** Parts written in one call, at most: `append` cuts further as it needs. */
const GROUP_PARTS = 64
/** A disk that is full or fails is tried again after this. */
const AGAIN_MS = 1000
/** A write that takes longer is trouble. It is waited for all the same: what comes after it must not pass it. */
const HANG_MS = 30_000
const WAY_OUT =
  '; go back to that one, or stop the agent and move them away with ktrail spool replay --to EXPORTER --remove'

export class Overflow {
  readonly #options: OverflowOptions
  readonly #deps: OverflowDeps
  readonly #again: Signal
  readonly #pending = new PendingWrites()
  readonly #copies = new Copies()
  /** Events in the spool that are in no flight. */
  #spooled: number
  #unreported: Loss[] = []
  /** Why the spool takes nothing, while that is so. */
  #problem: Problem | undefined
  #pumping: Promise<void> | undefined
  #ending = false
  #abandoned = false
  #sinceMs: number
  /** The sink does not take what it gets: new events are safer on the disk. */
  sinkFails = false
  /** Memory is short: what waits had better wait there. */
  memoryShort = false

  /** `recovered`: events that the spool held when it was opened. */
  constructor(options: OverflowOptions, deps: OverflowDeps, recovered: number) {
    this.#options = options
    this.#deps = deps
    this.#again = new Signal(deps.clock)
    this.#spooled = recovered
    this.#sinceMs = deps.clock.nowMs() - AGAIN_MS
  }

  /** New events must come here, not into the queue. */
  get active(): boolean {
    return this.always || this.sinkFails || this.memoryShort || !this.#pending.isEmpty || this.readable
  }

  /** Nothing goes through the queue. */
  get always(): boolean {
    return this.#options.always
  }

  /** Events in the spool that are in no flight. */
  get spooled(): number {
    return this.#spooled
  }

  /** Whether a read makes sense: there are events, or copies to be skipped. */
  get readable(): boolean {
    return this.#spooled > 0 || this.#copies.some
  }

  /** Something is about to become readable. */
  get writing(): boolean {
    return !this.#pending.isEmpty && this.#problem === undefined
  }

  /** Since when there is something to read and nothing was read. */
  get sinceMs(): number {
    return this.#sinceMs
  }

  /** What waits in memory to be written. */
  get pending(): Pick<PendingWrites, 'events' | 'bytes' | 'recount'> {
    return this.#pending
  }

  /** Why the spool takes nothing; '' while it does. */
  get failure(): string {
    return this.#problem?.text ?? ''
  }

  /** Why a part that found no room was dropped. */
  get fullReason(): DropReason {
    return this.#problem?.reason ?? 'queue_full'
  }

  /** From here on events come here: first those in flight, then those of the queue. Does nothing when it is so already. */
  begin(): void {
    if (this.#spooled > 0 || !this.#pending.isEmpty) return
    const { inFlightBatches, queue } = this.#deps
    for (const inFlightBatch of inFlightBatches) {
      if (!inFlightBatch.memoryOnly) continue
      inFlightBatch.memoryOnly = false
      for (const held of inFlightBatch.held) this.#pending.addCopy(held, inFlightBatch)
    }
    for (const held of queue.takeBack()) this.#pending.add(held)
    this.#kick()
  }

  /** Whether a part could ever be taken; the queue alone may be too small for it. */
  admits({ bytes, count }: Encoded): boolean {
    return bytes.length <= this.#options.maxBytes && count <= this.#options.maxEvents
  }

  /** Takes a part, which is described; false, and nothing changes, when there is no room. */
  put(held: Held): boolean {
    const { maxBytes, maxEvents } = this.#options
    const { queue } = this.#deps
    const { bytes, count } = described(held.part)
    const reserve = reserveOf(held)
    if (queue.bytes + this.#pending.bytes + bytes.length > maxBytes + reserve.bytes) return false
    if (queue.events + this.#pending.events + count > maxEvents + reserve.events) return false
    this.#pending.add(held)
    this.#kick()
    // Nobody else may look before the disk is tried again.
    this.refill()
    return true
  }

  /** Removes the oldest part that waits, is not being written and is no record of losses; undefined when there is none. */
  dropOldest(): Encoded | undefined {
    return this.#pending.dropOldest()
  }

  /** The next batch; undefined when there was nothing to read after all. Not to be called again before it settles. */
  async read(maxEvents: number, maxBytes: number): Promise<InFlightBatch | undefined> {
    const { spool, clock, accounting, inFlightBatches } = this.#deps
    this.#sinceMs = clock.nowMs()
    const result = await spool.next(maxBytes, maxEvents)
    // Nobody waits for it any more: it stays where it lies.
    if (this.#ending) return undefined
    if (result.status === 'failed') {
      accounting.note(`cannot read the spool: ${result.error.message}`)
      await this.#again.wait(AGAIN_MS)
      return undefined
    }
    if (result.status === 'empty') {
      // What is missing is in a loss that will be accounted for when the append that goes on has ended.
      if (this.readable) await this.#again.wait(AGAIN_MS)
      return undefined
    }
    const receipt = new Receipt(() => spool.ack(result.token))
    receipt.take()
    const held = result.frames.flatMap((frame) => this.#piece(frame, result.token.from, receipt))
    const inFlightBatch = held.length === 0 ? undefined : new InFlightBatch(held, receipt)
    if (inFlightBatch !== undefined) inFlightBatches.add(inFlightBatch)
    receipt.giveBack()
    return inFlightBatch
  }

  /** To be told of every loss of the spool. */
  lost(loss: Loss): void {
    this.#unreported.push(loss)
    // It may be about what is being written: which of that are copies is known when the append has ended.
    if (!this.#pending.isWriting) this.accountLosses()
  }

  /** Tries a failing disk again now. */
  nudge(): void {
    this.#again.ring()
  }

  /** Room in the queue: what waits for a disk that fails may go that way. */
  refill(): void {
    if (this.#problem !== undefined) this.#backToQueue()
  }

  /** Writes what is in memory, flights too; resolves when that is done or has failed once. */
  async end(): Promise<void> {
    this.begin()
    this.#ending = true
    this.#again.ring()
    this.#kick()
    await this.#pumping
  }

  /**
   * Accounts for what the spool has lost: it is no copy of a flight any more. While an append goes on only when nobody waits for it: which of
   * its parts are copies is not known before its end.
   */
  accountLosses(): void {
    for (const { reason, events, from, to, marks } of this.#unreported.splice(0)) {
      const gone = Math.max(0, events - this.#copies.lose(from, to))
      this.#spooled -= gone
      const span = marks && { firstSeq: marks.first, lastSeq: marks.last, epoch: marks.epoch }
      this.#deps.accounting.drop(reason, gone, span)
    }
  }

  /** Whether all that is left of a flight lies in the spool. */
  has(inFlightBatch: InFlightBatch): boolean {
    return !inFlightBatch.memoryOnly && !this.#pending.hasCopyOf(inFlightBatch)
  }

  /** Events of a flight that nobody will send now are back in the spool's account. */
  takeBack(events: number): void {
    this.#spooled += events
  }

  /** Gives up whatever waits to be written, also what an append is writing: it may yet come into the spool. */
  abandon(reason: DropReason): void {
    this.#abandoned = true
    this.accountLosses()
    this.#deps.accounting.drop(reason, this.#pending.recount())
    this.#pending.clear()
  }

  #kick(): void {
    this.#pumping ??= this.#pump().then(() => {
      this.#pumping = undefined
      if (!this.#pending.isEmpty && !this.#ending) this.#kick()
    })
  }

  async #pump(): Promise<void> {
    for (;;) {
      const group = this.#pending.begin(GROUP_PARTS)
      if (group.length === 0) return
      const result = await this.#append(group)
      if (this.#abandoned) return
      this.#written(group, result)
      if (result.status === 'written') continue
      if (this.#ending) return
      if (!this.#backToQueue()) await this.#again.wait(AGAIN_MS)
    }
  }

  async #append(group: readonly Waiting[]): Promise<AppendResult> {
    const { spool, clock } = this.#deps
    const text = `cannot write the spool: the disk has not answered for ${HANG_MS / 1000} s; events wait for it`
    const cancel = clock.after(HANG_MS, () => this.#say({ reason: 'spool_failed', text }))
    const result = await spool.append(group.map(({ held }) => frameOf(described(held.part))))
    cancel()
    return result
  }

  #say(problem: Problem | undefined): void {
    if (problem?.text !== this.#problem?.text) this.#deps.onFailure(problem?.text ?? '')
    this.#problem = problem
  }

  #written(group: readonly Waiting[], result: AppendResult): void {
    const done = result.status === 'written' ? group : group.slice(0, result.frames)
    this.#pending.end(done.length)
    if (!this.readable) this.#sinceMs = this.#deps.clock.nowMs()
    let position = result.from
    for (const { held, copyOf } of done) {
      const end = position + held.part.count
      if (copyOf === undefined) this.#spooled += held.part.count
      else this.#copies.add(copyOf, position, end)
      if (this.#deps.spool.releases) held.part.memory?.done()
      position = end
    }
    this.accountLosses()
    // What the disk refuses, the spool itself tells.
    if (result.status === 'failed') this.#problem = problemOf(result)
    else this.#say(result.status === 'written' ? undefined : problemOf(result))
    this.#again.ring()
    if (done.length === 0) return
    this.#deps.onReady()
    this.#deps.onRoom()
  }

  /** Whether anything went. Only while the spool is empty: the queue is sent before it. */
  #backToQueue(): boolean {
    if (this.#spooled > 0 || this.#pending.isWriting) return false
    const { queue, onReady } = this.#deps
    const went = this.#pending.takeWhile(({ held, copyOf }) => {
      if (copyOf === undefined) return queue.push(held)
      copyOf.memoryOnly = true
      return true
    })
    if (went > 0) onReady()
    return went > 0
  }

  /**
   * A frame as a part for a new flight; nothing when it is a copy or spoilt. What lies before `from` is settled: after
   * a fault of the disk the cursor may stand within a frame.
   */
  #piece(frame: ReadFrame, from: number, receipt: Receipt): Held[] {
    const original = this.#copies.take(frame.seq)
    if (original !== undefined) {
      if (original.count > 0) original.owe(receipt)
      return []
    }
    const settled = Math.max(0, from - frame.seq)
    this.#spooled -= frame.count - settled
    const { accounting, clock } = this.#deps
    const piece = pieceOf(frame, this.#options.encoding)
    if (!('why' in piece)) {
      const ageMs = Math.max(0, clock.wallMs() - (piece.times.at(-1) ?? 0))
      return [{ part: slice(piece, settled, piece.count), acceptedMs: clock.nowMs() - ageMs }]
    }
    const count = frame.count - settled
    const problem = `the spool has events that this exporter can not send: ${piece.why}`
    if (piece.foreign)
      return [{ part: this.#sealed(frame, count), acceptedMs: clock.nowMs(), problem: problem + WAY_OUT }]
    accounting.reject('unreadable', count)
    accounting.note(problem)
    return []
  }

  /** The last `count` events of a frame as a part that is only kept and counted. */
  #sealed({ payload, last }: ReadFrame, count: number): Encoded {
    const ends = new Uint32Array(count).fill(payload.length)
    return { encoding: this.#options.encoding, bytes: payload, ends, count, firstSeq: last - count + 1 }
  }
}

function described(part: Encoded): Described {
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
