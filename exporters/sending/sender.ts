/**
 * The sending chain of one exporter: buffer, batch, send, retry, accounting. One loop pulls; nothing pushes it.
 *
 *     offer ─▶ buffer ─▶ batcher ─▶ delivery ─▶ sink
 *
 * Constraints: every event offered is counted once and settled once; as many calls of `exporter.send` at a time as it allows; no timer runs
 * while nothing waits. Whether the buffer has a disk is not known here.
 */
import type { Buffer } from '../buffer/buffer.ts'
import { Counters } from '../buffer/counters.ts'
import { DiskBuffer } from '../buffer/disk-buffer.ts'
import type { OpenSpool } from '../buffer/disk-buffer.ts'
import { isStuck } from '../buffer/in-flight-batch.ts'
import type { Failure } from '../buffer/in-flight-batch.ts'
import { MemoryBuffer } from '../buffer/memory-buffer.ts'
import { slice, spanOf } from '../contract/encoded.ts'
import { ExportError, textOf } from '../contract/errors.ts'
import type { Encoded, Exporter } from '../contract/exporter.ts'
import type { Accounting, Lost, SenderStats } from '../contract/accounting.ts'
import { Signal, systemClock } from '../runtime/clock.ts'
import type { Clock, Random } from '../runtime/clock.ts'
import { ABANDON_MS, waitAtMost } from '../runtime/timeout.ts'
import { Batcher } from './batcher.ts'
import { ConcurrencyLimit } from './concurrency.ts'
import { Delivery } from './delivery.ts'
import type { DeadLetterRecords } from './delivery.ts'
import { Dispatcher } from './dispatcher.ts'
import { Meters } from './meters.ts'
import type { ChainConfig } from './config.ts'

export interface SenderDeps {
  readonly clock?: Clock
  readonly random?: Random
  /** Opens the spool, when there is one. Called once, by `start`; what it throws, `start` throws. */
  readonly openSpool?: OpenSpool
  /** How many of so many events may pass. */
  readonly rateLimit?: { take(events: number): number }
  readonly deadLetters?: DeadLetterRecords
  /** Told of events that are given up where it is known which; the accounting has all. */
  readonly onLost?: (lost: Lost) => void
  /** Told when the sink begins or ceases to take what it gets; `error` is what it said last, '' when all is well. */
  readonly onFailure?: (failure: Failure, error: string) => void
  /** Told when the spool is full or does not answer, and why; with '' when it takes events again. */
  readonly onSpoolFailure?: (error: string) => void
}

/** How short of memory the process is. */
export type MemoryPressure = 'none' | 'soft' | 'hard'

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
  readonly #buffer: Buffer
  readonly #batcher: Batcher
  readonly #accounting: Counters
  readonly #meters: Meters
  readonly #limit: ConcurrencyLimit
  readonly #dispatcher: Dispatcher
  /** Ends waits for a retry. */
  readonly #nudge: Signal
  /** Something is settled, or not taken: ends waits for all that is held to be sent. */
  readonly #quiet: Signal
  readonly #deadline = new AbortController()
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
    this.#buffer = this.#makeBuffer()
    this.#batcher = new Batcher(this.#buffer, config.batch, clock)
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
      buffer: this.#buffer,
      onSettled: () => this.#quiet.notify(),
      onFailure: () => this.#failing(),
    })
    this.#dispatcher = new Dispatcher({
      batcher: this.#batcher,
      delivery,
      limit: this.#limit,
      clock,
      inFlight: this.#buffer.inFlight,
      deadline: this.#deadline.signal,
      onEnd: () => this.#failing(),
    })
  }

  /** Opens the spool and the sink and begins to send. Throws ExportError when one of them can never work. */
  async start(): Promise<void> {
    await this.#buffer.start()
    await this.#deps.deadLetters?.start()
    await this.exporter.start()
    if (this.#stopping !== undefined) return
    this.#state = 'running'
    this.#loop = this.#dispatcher.run()
  }

  /**
   * Takes over the events: from here they are accounted for. Returns a promise only when this is a `block` sender
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
    this.#buffer.put(passing, losses)
    return this.#buffer.room
  }

  /** From now on: `soft` sends new events by way of the disk where there is one, `hard` drops them, counted. */
  set pressure(pressure: MemoryPressure) {
    this.#pressure = pressure
    this.#buffer.adapt(this.#dispatcher.failure, pressure !== 'none')
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
    return this.#buffer.blocks
  }

  /** The accounts now. */
  accounting(): Accounting {
    const { events, bytes, onDisk, failure } = this.#buffer.stats()
    const held = { heldEvents: events + onDisk, queueEvents: events, queueBytes: bytes }
    const accounting = this.#accounting.snapshot({ state: this.#shownState(), ...held })
    // The sink may well take everything while the disk does not.
    const lastError = accounting.lastError || failure
    return { ...accounting, retries: accounting.retries + (this.exporter.resent?.requests ?? 0), lastError }
  }

  /** What is measured beside the accounts. */
  stats(): SenderStats {
    const { queue, spool: limits } = this.#config
    const { spool, oldestAgeMs } = this.#buffer.stats()
    const meters = this.#meters.read()
    return {
      ...meters,
      duplicatesPossible: meters.duplicatesPossible + (this.exporter.resent?.events ?? 0),
      concurrencyLimit: this.#limit.limit,
      queueLimitBytes: queue.max_bytes,
      queueLimitEvents: queue.max_events,
      oldestAgeMs,
      deadLetters: this.#deps.deadLetters?.counters,
      spool: spool === undefined ? undefined : { ...spool, limitBytes: limits?.max_size ?? 0 },
    }
  }

  /**
   * accepted − (delivered + rejected + dropped + held), where held is counted anew, part by part. Must be 0 at
   * every moment; a metric shows it.
   */
  imbalance(): number {
    return this.#accounting.imbalance(this.#buffer.recount()) || (this.#buffer.stats().spool?.imbalance ?? 0)
  }

  #makeBuffer(): Buffer {
    const { openSpool, onSpoolFailure = () => {} } = this.#deps
    const deps = { counters: this.#accounting, clock: this.#clock, onReady: () => this.#batcher.notify() }
    if (openSpool === undefined) return new MemoryBuffer(this.#config, deps)
    const { encoding } = this.exporter
    return new DiskBuffer(this.#config, { ...deps, encoding, openSpool, onFailure: onSpoolFailure })
  }

  /** What the rate limit lets pass; the others are counted. */
  #limited(whole: Encoded): Encoded {
    const passing = this.#deps.rateLimit?.take(whole.count) ?? whole.count
    if (passing >= whole.count) return whole
    this.#accounting.drop('rate_limit', whole.count - passing, spanOf({ parts: [slice(whole, passing, whole.count)] }))
    return slice(whole, 0, passing)
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
    this.#nudge.notify()
    this.#buffer.retry()
  }

  /** It sends, and the sink takes what it gets. */
  get #busy(): boolean {
    if (this.#state !== 'running' || this.#stopping !== undefined || this.#dispatcher.failure !== 'none') return false
    const { events, onDisk } = this.#buffer.stats()
    return events + onDisk > 0
  }

  /** The failure of a batch in flight may have changed. */
  #failing(): void {
    const { failure } = this.#dispatcher
    if (failure !== this.#reported)
      this.#deps.onFailure?.(failure, failure === 'none' ? '' : this.accounting().lastError)
    this.#reported = failure
    // While stopping nobody will act in time; what is kept need not be tried on.
    const vain = isStuck(failure) || (failure !== 'none' && this.#buffer.keeps)
    if (vain && this.#stopping !== undefined) this.#expireGrace()
    this.#buffer.adapt(failure, this.#pressure !== 'none')
    if (failure !== 'none') this.#quiet.notify()
    this.#dispatcher.look()
  }

  async #stop(graceMs: number): Promise<void> {
    const cancel = this.#clock.after(graceMs, () => this.#expireGrace())
    const neverStarted = this.#state === 'starting'
    // One turn, so that `#stopping` is set before anything below looks at it.
    await Promise.resolve()
    const vain = this.#buffer.keeps && this.#dispatcher.failure !== 'none'
    if (graceMs <= 0 || neverStarted || vain) this.#expireGrace()
    this.#batcher.end()
    this.#nudge.notify()
    await this.#loop
    cancel()
    this.#expireGrace()
    const diskEndMs = this.#clock.nowMs() + DISK_END_MS
    await this.#buffer.finish(diskEndMs)
    this.#state = 'closed'
    await waitAtMost(this.exporter.stop(), ABANDON_MS, this.#clock)
    const { deadLetters } = this.#deps
    if (deadLetters !== undefined) {
      await waitAtMost(deadLetters.close(), Math.max(0, diskEndMs - this.#clock.nowMs()), this.#clock)
    }
    await this.#buffer.close(diskEndMs)
  }

  /** The end of the grace: what is still held is kept, or dropped, counted. */
  #expireGrace(): void {
    this.#deadline.abort()
    this.#batcher.cut()
    this.#nudge.notify()
    this.#quiet.notify()
    this.#dispatcher.look()
    this.#buffer.endGrace()
  }

  #shownState(): Accounting['state'] {
    if (this.#state === 'closed') return 'stopped'
    if (this.#stopping !== undefined) return 'draining'
    if (this.#state === 'starting') return 'starting'
    const failure = this.#dispatcher.failure
    return failure === 'none' ? 'healthy' : failure
  }
}
