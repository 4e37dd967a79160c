/**
 * The sending chain of one exporter: queue, spool, batch, send, retry, books. One loop pulls; nothing pushes it.
 *
 *     offer ─▶ intake ─┬▶ queue ───────────┬▶ batcher ─▶ delivery ─▶ sink
 *                      └▶ tail ─▶ spool ───┘ (overflow)
 *
 * Constraints: every event offered is counted once and settled once; room is freed when settled; as many calls of
 * `exporter.send` at a time as it allows; no timer runs while nothing waits.
 */
import { ExportError, textOf } from '../contract/errors.ts'
import type { Accounting, Encoded, Exporter, Lost, SenderStats } from '../contract/exporter.ts'
import type { Loss } from '../buffer/disk/losses.ts'
import type { Spool } from '../buffer/disk/spool.ts'
import { Batcher } from './batcher.ts'
import { Counters } from '../buffer/counters.ts'
import { Signal, systemClock } from '../runtime/clock.ts'
import type { Clock, Random } from '../runtime/clock.ts'
import { ConcurrencyLimit } from './concurrency.ts'
import { Delivery } from './delivery.ts'
import type { DeadLetterRecords } from './delivery.ts'
import { Dispatcher } from './dispatcher.ts'
import { MAX_PART_BYTES, MAX_PART_EVENTS, slice, spanOf, split } from '../contract/encoded.ts'
import { isStuck } from '../buffer/in-flight-batch.ts'
import type { InFlightBatch, Sum, Failure } from '../buffer/in-flight-batch.ts'
import { Intake } from './intake.ts'
import { Meters } from './meters.ts'
import type { ChainConfig } from './config.ts'
import { Overflow } from '../buffer/overflow.ts'
import { Queue } from '../buffer/queue.ts'
import { ABANDON_MS, waitAtMost } from '../runtime/timeout.ts'

export interface SenderDeps {
  readonly clock?: Clock
  readonly random?: Random
  /** Opens the spool, when there is one. Called once, by `start`; what it throws, `start` throws. */
  readonly openSpool?: (onLoss: (loss: Loss) => void) => Promise<Spool>
  /** How many of so many events may pass. */
  readonly rateLimit?: { take(events: number): number }
  readonly deadLetters?: DeadLetterRecords
  /** Told of events that are given up where it is known which; the books count all. */
  readonly onLost?: (lost: Lost) => void
  /** Told when the sink begins or ceases to take what it gets; `error` is what it said last, '' when all is well. */
  readonly onFailure?: (failure: Failure, error: string) => void
  /** Told when the spool is full or does not answer, and why; with '' when it takes events again. */
  readonly onSpoolFailure?: (error: string) => void
}

/** How short of memory the process is. */
export type MemoryPressure = 'none' | 'soft' | 'hard'

/** With a spool, what waits in the queue is at most this many batches: the rest is safer on the disk. */
const QUEUED_BATCHES = 8
/** How long a sink may take to reopen before what waits is tried without it: longer than a large sync to a slow disk. */
const REOPEN_MS = 5000
/** How long the disk may take at the end, in all: one that hangs must not keep the agent from ending. */
const DISK_END_MS = 10_000

export class Sender {
  readonly name: string
  readonly exporter: Exporter
  readonly #config: ChainConfig
  readonly #deps: SenderDeps
  readonly #clock: Clock
  readonly #queue: Queue
  readonly #partBounds: readonly [bytes: number, events: number]
  readonly #batcher: Batcher
  readonly #accounting: Counters
  readonly #meters: Meters
  readonly #intake: Intake
  readonly #limit: ConcurrencyLimit
  readonly #dispatcher: Dispatcher
  /** Ends waits for a retry. */
  readonly #nudge: Signal
  /** Something is settled, or not taken: ends waits for all that is held to be sent. */
  readonly #quiet: Signal
  readonly #deadline = new AbortController()
  readonly #inFlightBatches = new Set<InFlightBatch>()
  #spool: Spool | undefined
  #overflow: Overflow | undefined
  #pressure: MemoryPressure = 'none'
  #state: 'starting' | 'running' | 'closed' = 'starting'
  #reported: Failure = 'none'
  #stopping: Promise<void> | undefined
  #loop: Promise<void> = Promise.resolve()

  constructor(name: string, exporter: Exporter, config: ChainConfig, deps: SenderDeps = {}) {
    this.name = name
    this.exporter = exporter
    this.#config = config
    this.#deps = deps
    this.#clock = deps.clock ?? systemClock
    const clock = this.#clock
    this.#accounting = new Counters(deps.onLost)
    this.#meters = new Meters(clock)
    this.#nudge = new Signal(clock)
    this.#quiet = new Signal(clock)
    const [queueBytes, queueEvents] = queueBounds(config, deps.openSpool !== undefined)
    this.#queue = new Queue(queueBytes, queueEvents)
    this.#partBounds = [
      Math.min(MAX_PART_BYTES, queueBytes, config.batch.max_bytes),
      Math.min(MAX_PART_EVENTS, queueEvents, config.batch.max_events),
    ]
    this.#batcher = new Batcher(this.#queue, config.batch, clock, this.#inFlightBatches)
    const divert = (): void => this.#overflow?.begin()
    this.#intake = new Intake(this.#queue, config.queue.when_full, { accounting: this.#accounting, clock, divert })
    this.#limit = new ConcurrencyLimit(exporter.maxConcurrency ?? 1)
    const delivery = new Delivery({
      exporter,
      config,
      clock,
      random: deps.random ?? Math.random,
      accounting: this.#accounting,
      meters: this.#meters,
      limit: this.#limit,
      deadLetters: deps.deadLetters,
      nudge: this.#nudge,
      deadline: this.#deadline.signal,
      stopping: () => this.#stopping !== undefined,
      spooled: () => this.#overflow !== undefined,
      onSettled: (inFlightBatch, sum) => this.#settled(inFlightBatch, sum),
      onFailure: () => this.#failing(),
    })
    this.#dispatcher = new Dispatcher({
      batcher: this.#batcher,
      delivery,
      limit: this.#limit,
      clock,
      inFlightBatches: this.#inFlightBatches,
      deadline: this.#deadline.signal,
      onEnd: () => this.#failing(),
    })
  }

  /** Opens the spool and the sink and begins to send. Throws ExportError when one of them can never work. */
  async start(): Promise<void> {
    await this.#openSpool()
    await this.#deps.deadLetters?.start()
    await this.exporter.start()
    if (this.#stopping !== undefined) return
    this.#state = 'running'
    this.#loop = this.#dispatcher.run()
  }

  /**
   * Takes over the events: from here they are in the books. Returns a promise only when this is a `block` sender
   * and its queue is full; it settles when all of `whole` is in the queue. The bytes are kept, not copied.
   * With a spool, `whole` is described. Records of losses (`losses`) pass the rate limit and the limits of memory, and have a
   * little room of their own behind a full queue.
   */
  offer(whole: Encoded, losses = false): Promise<void> | undefined {
    this.#accounting.accept(whole.count)
    const refused = this.#stopping === undefined ? this.#pressure === 'hard' && !losses && 'memory' : 'shutdown'
    if (refused !== false) {
      this.#accounting.drop(refused, whole.count, spanOf({ parts: [whole] }))
      return undefined
    }
    const passing = losses ? whole : this.#limited(whole)
    for (const part of split(passing, ...this.#partBounds)) this.#intake.put(part, this.#patient, losses)
    this.#batcher.notify()
    const { wait } = this.#intake
    // Somebody waits for room: do not wait for more.
    if (wait !== undefined) this.#batcher.flush()
    return wait
  }

  /** From now on: `soft` sends new events by way of the disk where there is one, `hard` drops them, counted. */
  set pressure(pressure: MemoryPressure) {
    this.#pressure = pressure
    if (this.#overflow === undefined) return
    this.#overflow.memoryShort = pressure !== 'none'
    if (pressure !== 'none') this.#overflow.begin()
  }

  /**
   * Reopens the sink where it can be, then tries at once what waits for a retry. Rejects when the sink can not be reopened, and when it
   * has not done so in time; what waits is tried all the same.
   */
  async reopen(): Promise<void> {
    let late = true
    const reopened = this.#reopenAll().finally(() => (late = false))
    await waitAtMost(reopened, REOPEN_MS, this.#clock)
    if (!late) return
    const error = new ExportError('TIMEOUT', `exporter "${this.exporter.type}" has not reopened within ${REOPEN_MS} ms`)
    this.#accounting.note(error.message)
    this.#tryAtOnce()
    throw error
  }

  /** Sends what it holds without waiting for more; resolves when that is done, when the sink does not take it, and after `ms`. */
  async flush(ms: number): Promise<void> {
    const endMs = this.#clock.nowMs() + ms
    while (this.#busy) {
      const leftMs = endMs - this.#clock.nowMs()
      if (leftMs <= 0) return
      this.#batcher.flush()
      await this.#quiet.wait(leftMs)
    }
  }

  /**
   * Accepts no more, sends what it holds for at most `graceMs`; the rest stays in the spool, or is dropped as `shutdown`
   * where there is none. Closes the exporter. A second call returns the promise of the first, and can only shorten its grace.
   */
  stop(graceMs: number): Promise<void> {
    const again = this.#stopping !== undefined
    this.#stopping ??= this.#stop(graceMs)
    if (again && graceMs <= 0) this.#expireGrace()
    return this.#stopping
  }

  /** Somebody waits for room, as only a `block` sender lets them. */
  get blocks(): boolean {
    return this.#intake.outside().count > 0
  }

  /** The accounts now. */
  accounting(): Accounting {
    const { events, bytes } = this.#memory()
    const accounting = this.#accounting.snapshot({
      state: this.#shownState(),
      heldEvents: events + (this.#overflow?.spooled ?? 0),
      queueEvents: events,
      queueBytes: bytes,
    })
    // The sink may well take everything while the disk does not.
    const lastError = accounting.lastError || (this.#overflow?.failure ?? '')
    return { ...accounting, retries: accounting.retries + (this.exporter.resent?.requests ?? 0), lastError }
  }

  /** What is measured beside the accounts. */
  stats(): SenderStats {
    const { queue, spool: limits } = this.#config
    const spool = this.#spool?.stats()
    const meters = this.#meters.read()
    return {
      ...meters,
      duplicatesPossible: meters.duplicatesPossible + (this.exporter.resent?.events ?? 0),
      concurrencyLimit: this.#limit.limit,
      queueLimitBytes: queue.max_bytes,
      queueLimitEvents: queue.max_events,
      oldestAgeMs: this.#oldestAgeMs(spool?.oldestMs),
      deadLetters: this.#deps.deadLetters?.counters,
      spool: spool === undefined ? undefined : { ...spool, limitBytes: limits?.max_size ?? 0 },
    }
  }

  /**
   * accepted − (delivered + rejected + dropped + held), where held is counted anew, part by part. Must be 0 at
   * every moment; a metric shows it.
   */
  imbalance(): number {
    const overflow = this.#overflow
    let held = this.#queue.recount() + this.#intake.outside().count
    for (const inFlightBatch of this.#inFlightBatches) held += inFlightBatch.count
    if (overflow !== undefined) held += overflow.pending.recount() + overflow.spooled
    return this.#accounting.imbalance(held) || (this.#spool?.stats().imbalance ?? 0)
  }

  /** Whether a full `block` queue blocks: not while its sink waits for a person, for nobody else should. */
  get #patient(): boolean {
    return !isStuck(this.#dispatcher.failure)
  }

  /** What the rate limit lets pass; the others are counted. */
  #limited(whole: Encoded): Encoded {
    const passing = this.#deps.rateLimit?.take(whole.count) ?? whole.count
    if (passing >= whole.count) return whole
    this.#accounting.drop('rate_limit', whole.count - passing, spanOf({ parts: [slice(whole, passing, whole.count)] }))
    return slice(whole, 0, passing)
  }

  async #openSpool(): Promise<void> {
    const { openSpool } = this.#deps
    if (openSpool === undefined) return
    let overflow: Overflow | undefined
    const spool = await openSpool((loss) => overflow?.lost(loss))
    this.#spool = spool
    const { queue, spool: spoolConfig } = this.#config
    const { encoding } = this.exporter
    const { events } = spool.stats()
    this.#accounting.accept(events)
    overflow = new Overflow(
      { maxBytes: queue.max_bytes, maxEvents: queue.max_events, always: spoolConfig?.use === 'always', encoding },
      {
        spool,
        queue: this.#queue,
        accounting: this.#accounting,
        clock: this.#clock,
        inFlightBatches: this.#inFlightBatches,
        onReady: () => this.#batcher.notify(),
        onRoom: () => this.#admitOutside(),
        onFailure: (error) => this.#deps.onSpoolFailure?.(error),
      },
      events,
    )
    // Offered before the start, and younger than what the spool has.
    if (events > 0) for (const held of this.#queue.takeBack()) overflow.put(held)
    this.#overflow = overflow
    this.#intake.overflow = overflow
    this.#batcher.overflow = overflow
  }

  async #reopenAll(): Promise<void> {
    try {
      await Promise.all([this.exporter.reopen?.(), this.#deps.deadLetters?.reopen()])
    } catch (error) {
      this.#accounting.note(textOf(error))
      throw error
    } finally {
      this.#tryAtOnce()
    }
  }

  #tryAtOnce(): void {
    this.#nudge.ring()
    this.#overflow?.nudge()
  }

  #settled({ fromQueue }: InFlightBatch, { events, bytes }: Sum): void {
    if (fromQueue) this.#queue.settle(events, bytes)
    this.#overflow?.refill()
    this.#admitOutside()
    this.#quiet.ring()
  }

  /** It sends, and the sink takes what it gets. */
  get #busy(): boolean {
    if (this.#state !== 'running' || this.#stopping !== undefined || this.#dispatcher.failure !== 'none') return false
    return this.#memory().events + (this.#overflow?.spooled ?? 0) > 0
  }

  #admitOutside(): void {
    this.#intake.admit(this.#patient)
    if (this.#intake.wait !== undefined) this.#batcher.flush()
  }

  /** What is in flight or waits is safer on the disk while the sink does not take it. */
  #failing(): void {
    const { failure } = this.#dispatcher
    if (failure !== this.#reported)
      this.#deps.onFailure?.(failure, failure === 'none' ? '' : this.accounting().lastError)
    this.#reported = failure
    if (this.#overflow !== undefined) {
      this.#overflow.sinkFails = failure !== 'none'
      if (failure !== 'none') this.#overflow.begin()
    }
    // While stopping nobody will mend it in time; with a spool there is no need to try on.
    const vain = isStuck(failure) || (failure !== 'none' && this.#overflow !== undefined)
    if (vain && this.#stopping !== undefined) this.#expireGrace()
    if (isStuck(failure)) this.#admitOutside()
    if (failure !== 'none') this.#quiet.ring()
    this.#dispatcher.look()
  }

  async #stop(graceMs: number): Promise<void> {
    const cancel = this.#clock.after(graceMs, () => this.#expireGrace())
    const neverStarted = this.#state === 'starting'
    // One turn, so that `#stopping` is set before anything below looks at it.
    await Promise.resolve()
    const vain = this.#overflow !== undefined && this.#dispatcher.failure !== 'none'
    if (graceMs <= 0 || neverStarted || vain) this.#expireGrace()
    this.#batcher.end()
    this.#nudge.ring()
    await this.#loop
    cancel()
    this.#expireGrace()
    const diskEndMs = this.#clock.nowMs() + DISK_END_MS
    await this.#keepOrDrop(diskEndMs)
    this.#state = 'closed'
    await waitAtMost(this.exporter.stop(), ABANDON_MS, this.#clock)
    for (const file of [this.#deps.deadLetters, this.#spool]) await this.#before(diskEndMs, file?.close())
  }

  async #before(endMs: number, work: Promise<void> | undefined): Promise<void> {
    if (work !== undefined) await waitAtMost(work, Math.max(0, endMs - this.#clock.nowMs()), this.#clock)
  }

  /** The end of the grace: what is still held goes to the spool, or is dropped, counted. */
  #expireGrace(): void {
    this.#deadline.abort()
    this.#batcher.cut()
    this.#nudge.ring()
    this.#quiet.ring()
    this.#dispatcher.look()
    if (this.#overflow === undefined) this.#intake.dropAll('shutdown')
    else this.#intake.admit(false)
  }

  /** Nothing is sent any more: what is in memory is written where there is a spool, else dropped. */
  async #keepOrDrop(diskEndMs: number): Promise<void> {
    const overflow = this.#overflow
    await this.#before(diskEndMs, overflow?.end())
    // Of an append that still goes on: its disk hangs.
    overflow?.accountLosses()
    for (const inFlightBatch of this.#inFlightBatches) {
      const span = spanOf(inFlightBatch.batch())
      const kept = overflow?.has(inFlightBatch) === true
      const { events, bytes } = inFlightBatch.takeAll()
      if (kept) overflow.takeBack(events)
      else this.#accounting.drop('shutdown', events, span)
      if (inFlightBatch.fromQueue) this.#queue.settle(events, bytes)
    }
    this.#inFlightBatches.clear()
    this.#intake.dropAll('shutdown')
  }

  /** Events and bytes in memory. */
  #memory(): Sum {
    const outside = this.#intake.outside()
    const pending = this.#overflow?.pending ?? { events: 0, bytes: 0 }
    let events = this.#queue.events + outside.count + pending.events
    let bytes = this.#queue.bytes + outside.sizeBytes + pending.bytes
    for (const inFlightBatch of this.#inFlightBatches) {
      if (inFlightBatch.fromQueue) continue
      const { count, sizeBytes } = inFlightBatch.batch()
      events += count
      bytes += sizeBytes
    }
    return { events, bytes }
  }

  #oldestAgeMs(spoolMs: number | undefined): number {
    const ages = [this.#queue.oldestMs, ...[...this.#inFlightBatches].map(({ oldestMs }) => oldestMs)]
      .filter((ms) => ms !== undefined)
      .map((ms) => this.#clock.nowMs() - ms)
    if (spoolMs !== undefined && (this.#overflow?.spooled ?? 0) > 0) ages.push(this.#clock.wallMs() - spoolMs)
    return Math.max(0, ...ages)
  }

  #shownState(): Accounting['state'] {
    if (this.#state === 'closed') return 'stopped'
    if (this.#stopping !== undefined) return 'draining'
    if (this.#state === 'starting') return 'starting'
    const failure = this.#dispatcher.failure
    return failure === 'none' ? 'healthy' : failure
  }
}

/** Bytes and events for the queue. */
function queueBounds({ queue, batch }: ChainConfig, spool: boolean): [bytes: number, events: number] {
  if (!spool) return [queue.max_bytes, queue.max_events]
  return [
    Math.min(queue.max_bytes, batch.max_bytes * QUEUED_BATCHES),
    Math.min(queue.max_events, batch.max_events * QUEUED_BATCHES),
  ]
}
