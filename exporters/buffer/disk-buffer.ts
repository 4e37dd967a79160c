/**
 * The buffer with a disk, for events that do not fit into memory or must survive while the sink fails.
 *
 *     put ─┬▶ queue ──────────── next ─▶ in flight
 *          └▶ pending writes ─▶ spool ─ next ─▶ in flight
 *
 * While events are pending or on the disk, new ones do not go into the queue. At that point batches in flight are written first, so that
 * an end of the process neither loses nor reorders them. Such a copy is claimed, not read back, and freed with its batch. Only while the
 * disk cannot be written, pending events go back to the queue, if that keeps the order. Each retry takes them from there.
 */
import type { Encoded, Encoding } from '../contract/exporter.ts'
import type { DropReason } from '../contract/accounting.ts'
import { Signal } from '../../config/base/time/clock.ts'
import { waitAtMost } from '../../config/base/time/deadline.ts'
import type { BufferConfig, BufferDeps, BufferStats } from './buffer.ts'
import type { Loss } from './disk/tally.ts'
import type { Spool } from './disk/spool.ts'
import { InFlightBatch } from './in-flight-batch.ts'
import type { Failure, Sum } from './in-flight-batch.ts'
import { MemoryBuffer } from './memory-buffer.ts'
import { AGAIN_MS, described, PendingWrites } from './pending-writes.ts'
import type { PendingWrite } from './pending-writes.ts'
import { reserveOf } from './queue.ts'
import type { QueuedPart } from './queue.ts'
import { readBack } from './read-back.ts'

/** Opens the spool; called until it succeeds. */
export type OpenSpool = (onLoss: (loss: Loss) => void) => Promise<Spool>

export interface DiskBufferDeps extends BufferDeps {
  readonly encoding: Encoding
  readonly openSpool: OpenSpool
  /** Called with the error when the spool is full or hangs; with '' when it accepts events again. */
  readonly onFailure: (error: string) => void
}

/** Maximum batches waiting in the queue; the rest is safer on the disk. */
const QUEUED_BATCHES = 8

export class DiskBuffer extends MemoryBuffer {
  readonly #deps: DiskBufferDeps
  readonly #again: Signal
  readonly #pending: PendingWrites
  #spool: Spool | undefined
  /** Events in the spool but not in a batch. */
  #spooled = 0
  /** Losses of the spool, and their events that are not yet counted. */
  #losses: Array<{ readonly loss: Loss; events: number }> = []
  #reading = false
  #ending = false
  /** New events are safer on the disk. */
  #diskFirst = false
  /** Time since which unread events exist. */
  #sinceMs: number

  constructor(config: BufferConfig, deps: DiskBufferDeps) {
    super(config, deps, QUEUED_BATCHES)
    this.#deps = deps
    this.#again = new Signal(deps.clock)
    this.#pending = new PendingWrites({
      clock: deps.clock,
      onWritten: (done, from) => this.#written(done, from),
      onRefused: () => this.#backToQueue(),
      onRetry: () => this.#fromMemory(),
      onFailure: deps.onFailure,
    })
    this.#sinceMs = deps.clock.nowMs() - AGAIN_MS
  }

  override async start(): Promise<void> {
    if (this.#spool !== undefined) return
    const spool = await this.#deps.openSpool((loss) => this.#lost(loss))
    this.#spool = spool
    this.#spooled = spool.stats().events
    this.#deps.counters.accept(this.#spooled)
    // Events put before the start are younger than those in the spool.
    if (this.#spooled > 0) this.#enqueue(this.queue.takeBack())
  }

  override configure(config: BufferConfig): void {
    super.configure(config)
    if (config.spool !== undefined) this.#spool?.configure(config.spool)
  }

  override get keeps(): boolean {
    return this.#spool !== undefined
  }

  override adapt(sink: Failure, memoryShort: boolean): void {
    this.#diskFirst = sink !== 'none' || memoryShort
    if (this.#diskFirst) this.#spill()
    super.adapt(sink, memoryShort)
  }

  override get readySinceMs(): number | undefined {
    return super.readySinceMs ?? (this.#spooled > 0 ? this.#sinceMs : undefined)
  }

  override get moreComes(): boolean {
    return !this.#pending.isEmpty && this.#pending.problem === undefined
  }

  override hasBatch(maxEvents: number, maxBytes: number): boolean {
    if (super.hasBatch(maxEvents, maxBytes)) return true
    if (this.queue.waitingEvents > 0) return false
    // Without `use: always` the spool is emptied at once, so that new events can bypass the disk.
    return this.#spooled >= maxEvents || (this.#spooled > 0 && !this.#always)
  }

  override async next(maxEvents: number, maxBytes: number): Promise<InFlightBatch | undefined> {
    const spool = this.#spool
    if (spool === undefined || this.queue.waitingEvents > 0) return super.next(maxEvents, maxBytes)
    const { clock, counters } = this.#deps
    this.#sinceMs = clock.nowMs()
    this.#reading = true
    const result = await spool.next(maxBytes, maxEvents)
    this.#reading = false
    // The batcher was cut: the events stay in the spool.
    if (this.#ending) return undefined
    if (result.status === 'failed') counters.note(`cannot read the spool: ${result.error.message}`)
    if (result.status !== 'frames') {
      // Missing events belong to a loss that is counted when the running append ends.
      if (result.status === 'failed' || this.#spooled > 0) await this.#again.wait(AGAIN_MS)
      return undefined
    }
    const { token } = result
    const held = result.frames.flatMap((frame) => {
      this.#spooled -= frame.count - Math.max(0, token.from - frame.seq)
      return readBack(frame, token.from, this.#deps)
    })
    if (held.length > 0) return this.launch(new InFlightBatch(held, token))
    spool.ack(token)
    return undefined
  }

  override ack(batch: InFlightBatch, sum: Sum): void {
    super.ack(batch, sum)
    if (batch.count === 0) for (const token of batch.tokens) this.#spool?.ack(token)
    if (this.#pending.problem !== undefined) this.#backToQueue()
  }

  override retry(): void {
    this.#again.notify()
    this.#pending.retry()
  }

  override endGrace(): void {
    if (this.#spool === undefined) return super.endGrace()
    this.patient = false
    this.admitBlocked()
  }

  override async finish(endMs: number): Promise<void> {
    await this.#within(endMs, this.#writeAll())
    // An append may hang with its disk.
    this.#accountLosses()
    for (const batch of this.inFlight) {
      const unwritten = batch.memoryOnly ? batch.count : this.#pending.copiesOf(batch)
      const { events, bytes } = batch.takeHead(Math.max(0, batch.count - unwritten))
      this.#spooled += events
      if (batch.fromQueue) this.queue.settle(events, bytes)
      // Its events on the disk are for the next run.
      batch.tokens.length = 0
      if (batch.count === 0) this.inFlight.delete(batch)
    }
    this.#deps.counters.drop('shutdown', this.#pending.recount())
    this.#pending.abandon()
    await super.finish(endMs)
  }

  override async close(endMs: number): Promise<void> {
    if (this.#spool !== undefined) await this.#within(endMs, this.#spool.close())
  }

  override stats(): BufferStats {
    const inMemory = super.stats()
    const spool = this.#spool?.stats()
    const spooledMs = this.#spooled > 0 ? spool?.oldestMs : undefined
    let events = inMemory.events + this.#pending.events
    let bytes = inMemory.bytes + this.#pending.bytes
    for (const batch of this.inFlight) {
      if (batch.fromQueue) continue
      const { count, sizeBytes } = batch.batch()
      events += count
      bytes += sizeBytes
    }
    const wallMs = this.#deps.clock.wallMs()
    return {
      events,
      bytes,
      onDisk: this.#spooled,
      oldestAgeMs: Math.max(inMemory.oldestAgeMs, wallMs - (spooledMs ?? wallMs)),
      failure: this.#pending.problem?.text ?? '',
      spool,
    }
  }

  override recount(): number {
    return super.recount() + this.#pending.recount() + this.#spooled
  }

  protected override admits(part: Encoded): boolean {
    if (this.#spool === undefined) return super.admits(part)
    const { max_bytes, max_events } = this.config.queue
    return part.bytes.length <= max_bytes && part.count <= max_events
  }

  protected override push(held: QueuedPart): boolean {
    if (this.#spool === undefined) return super.push(held)
    if (!this.#spills) {
      if (super.push(held)) return true
      this.#spill()
    }
    const { max_bytes, max_events } = this.config.queue
    const { bytes, count } = described(held.part)
    const reserve = reserveOf(held)
    if (this.queue.bytes + this.#pending.bytes + bytes.length > max_bytes + reserve.bytes) return false
    if (this.queue.events + this.#pending.events + count > max_events + reserve.events) return false
    this.#enqueue([held])
    // No other check until the disk is retried.
    if (this.#pending.problem !== undefined) this.#backToQueue()
    return true
  }

  protected override dropOldest(): Encoded | undefined {
    return this.#spool === undefined ? super.dropOldest() : this.#pending.dropOldest()
  }

  protected override get fullReason(): DropReason {
    return this.#pending.problem?.reason ?? 'queue_full'
  }

  /** Nothing uses the queue. */
  get #always(): boolean {
    return this.config.spool?.use === 'always'
  }

  /** New events go to the disk. */
  get #spills(): boolean {
    return this.#always || this.#diskFirst || !this.#pending.isEmpty || this.#spooled > 0
  }

  /** Switches to the disk. Does nothing if already switched. */
  #spill(): void {
    if (this.#pending.isActive) return
    this.#fromMemory()
    this.#enqueue([])
  }

  /** Makes events in flight and in the queue pending, the oldest first; not behind events of the spool, which are younger. */
  #fromMemory(): void {
    if (this.#spool === undefined || this.#spooled > 0) return
    // A running read must not find copies.
    if (this.#reading && !this.#ending) return
    const batches = [...this.inFlight].filter(({ memoryOnly }) => memoryOnly)
    for (const batch of batches) batch.memoryOnly = false
    this.#pending.addFirst(batches, this.queue.takeBack())
  }

  #enqueue(all: readonly QueuedPart[]): void {
    for (const held of all) this.#pending.add(held)
    if (this.#spool !== undefined) this.#pending.write(this.#spool)
  }

  #written(done: readonly PendingWrite[], from: number): void {
    if (this.#spooled === 0) this.#sinceMs = this.#deps.clock.nowMs()
    let position = from
    for (const { held, copyOf } of done) {
      const end = position + held.part.count
      if (copyOf === undefined) this.#spooled += held.part.count
      else this.#claim(copyOf, position, end)
      if (this.#spool?.releases === true) held.part.memory?.done()
      position = end
    }
    this.#accountLosses()
    this.#again.notify()
    if (done.length === 0) return
    this.#deps.onReady()
    this.admitBlocked()
  }

  /** Claims a written copy for its batch, so that it is not read. */
  #claim(batch: InFlightBatch, from: number, to: number): void {
    const token = this.#spool?.claim(from, to)
    if (token === undefined) {
      const lost = this.#losses.find(({ loss }) => loss.from <= from && to <= loss.to)
      // Otherwise an abandoned read still uses the buffer.
      if (lost === undefined) return
      lost.events -= to - from
      batch.memoryOnly = true
    } else if (batch.count === 0) this.#spool?.ack(token)
    else batch.tokens.push(token)
  }

  #lost(loss: Loss): void {
    this.#losses.push({ loss, events: loss.events })
    // The loss may be of events being written; only the end of the append shows which of them are copies.
    if (!this.#pending.isWriting) this.#accountLosses()
  }

  #accountLosses(): void {
    for (const { loss, events } of this.#losses.splice(0)) {
      const { reason, marks } = loss
      this.#spooled -= events
      const span = marks && { firstSeq: marks.first, lastSeq: marks.last, epoch: marks.epoch }
      this.#deps.counters.drop(reason, events, span)
    }
  }

  /** Only with an empty spool, because the queue is sent before it. */
  #backToQueue(): void {
    if (this.#spooled > 0 || this.#pending.isWriting) return
    const went = this.#pending.takeWhile(({ held, copyOf }) => {
      if (copyOf === undefined) return this.queue.push(held)
      copyOf.memoryOnly = true
      if (this.#spool?.releases === true) held.part.memory?.done()
      return true
    })
    if (went > 0) this.#deps.onReady()
  }

  /** Writes all events in memory and in flight; resolves when done or after one failure. */
  async #writeAll(): Promise<void> {
    this.#ending = true
    this.#spill()
    this.#again.notify()
    if (this.#spool !== undefined) await this.#pending.end(this.#spool)
  }

  #within(endMs: number, work: Promise<void>): Promise<void> {
    const { clock } = this.#deps
    return waitAtMost(work, Math.max(0, endMs - clock.nowMs()), clock)
  }
}
