import { batchOf, MAX_PART_BYTES, MAX_PART_EVENTS, spanOf, split } from '../contract/encoded.ts'
import type { DropReason } from '../contract/accounting.ts'
import type { Encoded } from '../contract/exporter.ts'
import type { BufferConfig, BufferDeps, BufferStats } from './buffer.ts'
import { InFlightBatch, isStuck } from './in-flight-batch.ts'
import type { Failure, Sum } from './in-flight-batch.ts'
import { Queue } from './queue.ts'
import type { QueuedPart } from './queue.ts'

interface Blocked {
  readonly part: Encoded
  readonly losses: boolean
}

/** The buffer in memory: a queue, and with `block` the events of one publish that wait for space. */
export class MemoryBuffer {
  /** Batches with unsettled events. */
  readonly inFlight: Set<InFlightBatch> = new Set()
  protected config: BufferConfig
  protected readonly deps: BufferDeps
  protected readonly queue: Queue
  readonly #queuedBatches: number
  /** Events waiting for space; new ones queue behind them. */
  #blocked: Blocked[] = []
  #room: PromiseWithResolvers<void> | undefined
  /** Whether a full `block` buffer blocks: not while its sink needs manual action, which would block all other exporters. */
  protected patient = true

  /** At most `queuedBatches` batches may wait in the queue. */
  constructor(config: BufferConfig, deps: BufferDeps, queuedBatches: number = Infinity) {
    this.config = config
    this.deps = deps
    this.#queuedBatches = queuedBatches
    this.queue = new Queue(...this.#bounds())
  }

  /** Uses new limits from now on; held events stay, even above them. The folder of a spool never changes. */
  configure(config: BufferConfig): void {
    this.config = config
    this.queue.limit(...this.#bounds())
    this.admitBlocked()
  }

  /** Limits of the queue. */
  #bounds(): readonly [bytes: number, events: number] {
    const { queue, batch } = this.config
    return [
      Math.min(queue.max_bytes, batch.max_bytes * this.#queuedBatches),
      Math.min(queue.max_events, batch.max_events * this.#queuedBatches),
    ]
  }

  /** Whether unsettled events are kept for the next run. */
  get keeps(): boolean {
    return false
  }

  /** More events will become available without a `put`. */
  get moreComes(): boolean {
    return false
  }

  /** Call once before the first `next`. Rejects with ExportError if the disk is unusable. */
  start(): Promise<void> {
    return Promise.resolve()
  }

  /**
   * Takes accepted events. Without space they wait, or are dropped and counted. Loss records (`losses`) have some reserved space and
   * are never pushed out.
   */
  put(whole: Encoded, losses: boolean): void {
    const { batch } = this.config
    const [maxBytes, maxEvents] = this.#bounds()
    const bytes = Math.min(MAX_PART_BYTES, maxBytes, batch.max_bytes)
    const events = Math.min(MAX_PART_EVENTS, maxEvents, batch.max_events)
    for (const part of split(whole, bytes, events)) this.#admit({ part, losses })
    this.deps.onReady()
  }

  /** Whether events wait for space (only with `block`). */
  get blocks(): boolean {
    return this.#blocked.length > 0
  }

  /** Settles when nothing waits for space any more; undefined if nothing does. */
  get room(): Promise<void> | undefined {
    if (!this.blocks) return undefined
    this.#room ??= Promise.withResolvers<void>()
    return this.#room.promise
  }

  /** Reports the sink's state and memory pressure, which decide where new events are kept. */
  adapt(sink: Failure, _memoryShort: boolean): void {
    this.patient = !isStuck(sink)
    if (!this.patient) this.admitBlocked()
  }

  /** Time since which `next` can return events, on the clock; undefined if it cannot. */
  get readySinceMs(): number | undefined {
    return this.queue.oldestMs
  }

  /** Whether this much waits, or waiting for more is useless. */
  hasBatch(maxEvents: number, maxBytes: number): boolean {
    return this.blocks || this.queue.waitingEvents >= maxEvents || this.queue.waitingBytes >= maxBytes
  }

  /** Takes the next events, now in flight; undefined if there are none. Do not call again before it settles. */
  next(maxEvents: number, maxBytes: number): Promise<InFlightBatch | undefined> {
    const held = this.queue.take(maxEvents, maxBytes)
    return Promise.resolve(held.length === 0 ? undefined : this.launch(new InFlightBatch(held)))
  }

  /** The sum was removed from the batch and is settled. */
  ack(batch: InFlightBatch, { events, bytes }: Sum): void {
    if (batch.fromQueue) this.queue.settle(events, bytes)
    if (batch.count === 0) this.inFlight.delete(batch)
    this.admitBlocked()
  }

  /** Retries failed operations now. */
  retry(): void {}

  /** Ends waits for space and drops events that cannot be kept. */
  endGrace(): void {
    this.#dropWaiting()
  }

  /** After the last send: stores events until `endMs`, then drops the rest. */
  finish(_endMs: number): Promise<void> {
    for (const batch of this.inFlight) {
      const span = spanOf(batch.batch())
      const sum = batch.takeAll()
      this.deps.counters.drop('shutdown', sum.events, span)
      this.ack(batch, sum)
    }
    this.#dropWaiting()
    return Promise.resolve()
  }

  /** Closes the disk; waits until `endMs` at most. */
  close(_endMs: number): Promise<void> {
    return Promise.resolve()
  }

  /** Held events, recounted to verify the running count. */
  recount(): number {
    let held = this.queue.recount() + this.#blockedBatch().count
    for (const batch of this.inFlight) held += batch.count
    return held
  }

  stats(): BufferStats {
    const { count, sizeBytes } = this.#blockedBatch()
    const nowMs = this.deps.clock.nowMs()
    const since = [this.queue.oldestMs, ...[...this.inFlight].map(({ oldestMs }) => oldestMs)]
    return {
      events: this.queue.events + count,
      bytes: this.queue.bytes + sizeBytes,
      onDisk: 0,
      oldestAgeMs: Math.max(0, ...since.map((ms) => nowMs - (ms ?? nowMs))),
      failure: '',
      spool: undefined,
    }
  }

  protected launch(batch: InFlightBatch): InFlightBatch {
    this.inFlight.add(batch)
    return batch
  }

  /** Moves waiting events into the queue as space allows. */
  protected admitBlocked(): void {
    if (!this.blocks) return
    for (const one of this.#blocked.splice(0)) this.#admit(one)
    this.#releaseRoom()
    this.deps.onReady()
  }

  /** Whether a part fits into an empty queue. */
  protected admits(part: Encoded): boolean {
    return this.queue.admits(part)
  }

  /** Adds a part; false, without a change, if there is no space. */
  protected push(held: QueuedPart): boolean {
    return this.queue.push(held)
  }

  /** Removes the oldest waiting part that is not a loss record; undefined if there is none. */
  protected dropOldest(): Encoded | undefined {
    return this.queue.dropOldest()
  }

  /** The reason for dropping a part without space. */
  protected get fullReason(): DropReason {
    return 'queue_full'
  }

  #admit(one: Blocked): void {
    const { part, losses } = one
    if (this.blocks) {
      this.#blocked.push(one)
      return
    }
    if (!losses && !this.admits(part)) return this.#drop(part, 'queue_full')
    const acceptedMs = this.deps.clock.nowMs()
    const held: QueuedPart = losses ? { part, acceptedMs, losses } : { part, acceptedMs }
    const whenFull = this.config.queue.when_full
    while (!this.push(held)) {
      if (whenFull === 'block' && this.patient) {
        this.#blocked.push(one)
        return
      }
      // If all space is used by events in flight, the newest are dropped.
      const oldest = whenFull === 'drop_oldest' ? this.dropOldest() : undefined
      this.#drop(oldest ?? part, this.fullReason)
      if (oldest === undefined) return
    }
  }

  #dropWaiting(): void {
    for (const { part } of [...this.queue.takeBack(), ...this.#blocked.splice(0)]) this.#drop(part, 'shutdown')
    this.#releaseRoom()
  }

  #drop(part: Encoded, reason: DropReason): void {
    this.deps.counters.drop(reason, part.count, spanOf({ parts: [part] }))
  }

  #releaseRoom(): void {
    if (this.blocks) return
    this.#room?.resolve()
    this.#room = undefined
  }

  #blockedBatch(): { readonly count: number; readonly sizeBytes: number } {
    return batchOf(this.#blocked.map(({ part }) => part))
  }
}
