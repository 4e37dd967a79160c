/**
 * The sending chain of one exporter: buffer, batch, send, retry, accounting. One loop pulls the events.
 *
 *     offer ─▶ buffer ─▶ batcher ─▶ delivery ─▶ sink
 *
 * Every event is counted once and settled once. At most as many concurrent `exporter.send` calls as it allows. No timer runs while
 * nothing waits. The chain does not know whether the buffer has a disk.
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
  /** Opens the spool, if configured. Called once by `start`, which passes on its errors. */
  readonly openSpool?: OpenSpool
  /** Returns how many of `events` may pass. */
  readonly rateLimit?: { take(events: number): number }
  readonly deadLetters?: DeadLetterRecords
  /** Called for lost events whose sequence numbers are known; the accounting has all. */
  readonly onLost?: (lost: Lost) => void
  /** Called when the failure state changes; `error` is the last error, '' without a failure. */
  readonly onFailure?: (failure: Failure, error: string) => void
  /** Called with the error when the spool is full or hangs; with '' when it accepts events again. */
  readonly onSpoolFailure?: (error: string) => void
}

/** The process's memory use: above the soft or hard limit. */
export type MemoryPressure = 'none' | 'soft' | 'hard'

/** How long to wait for a reopen before retrying anyway: longer than a large sync to a slow disk. */
const REOPEN_MS = 5000
/** Total time for the disk at the end: a hanging disk must not keep the agent from ending. */
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
  /** Wakes `flush` when events are settled or a batch fails. */
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

  /** Opens the spool and the sink and begins to send. Throws ExportError if one of them can never work. */
  async start(): Promise<void> {
    await this.#buffer.start()
    await this.#deps.deadLetters?.start()
    await this.exporter.start()
    if (this.#stopping !== undefined) return
    this.#state = 'running'
    this.#loop = this.#dispatcher.run()
  }

  /**
   * Accepts the events; from here they are accounted for. Returns a promise only if this sender blocks and its queue is full; it
   * settles when all of `whole` is in the queue. The bytes are kept, not copied. With a spool, `whole` must be described. Loss
   * records (`losses`) bypass the rate limit and the memory limits, and a full queue reserves some space for them.
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

  /** `soft` sends new events through the disk if there is one; `hard` drops and counts them. */
  set pressure(pressure: MemoryPressure) {
    this.#pressure = pressure
    this.#buffer.adapt(this.#dispatcher.failure, pressure !== 'none')
  }

  /**
   * Reopens the sink if it supports that, then retries at once. Rejects if the reopen fails or takes too long; retries anyway.
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

  /** Sends held events without waiting for more; resolves when done, when the sink fails, or after `ms`. */
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
   * Accepts no more events, sends held ones for at most `graceMs`, and closes the exporter. The rest stays in the spool, or is
   * dropped as `shutdown` without one. A second call returns the same promise; with a grace of 0 it ends the grace at once.
   */
  stop(graceMs: number): Promise<void> {
    const again = this.#stopping !== undefined
    this.#stopping ??= this.#stop(graceMs)
    if (again && graceMs <= 0) this.#expireGrace()
    return this.#stopping
  }

  /** A caller waits for space in the queue (only with `block`). */
  get blocks(): boolean {
    return this.#buffer.blocks
  }

  /** The current accounting. */
  accounting(): Accounting {
    const { events, bytes, onDisk, failure } = this.#buffer.stats()
    const held = { heldEvents: events + onDisk, queueEvents: events, queueBytes: bytes }
    const accounting = this.#accounting.snapshot({ state: this.#shownState(), ...held })
    // The disk may fail while the sink works.
    const lastError = accounting.lastError || failure
    return { ...accounting, retries: accounting.retries + (this.exporter.resent?.requests ?? 0), lastError }
  }

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
   * accepted − (delivered + rejected + dropped + held), with held recounted part by part. Always 0; exposed as a metric.
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

  /** Applies the rate limit and counts the dropped events. */
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

  /** It has events, and sending works. */
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
    // While stopping, more tries are useless if manual action is needed, and not necessary if the buffer keeps the events.
    const giveUp = isStuck(failure) || (failure !== 'none' && this.#buffer.keeps)
    if (giveUp && this.#stopping !== undefined) this.#expireGrace()
    this.#buffer.adapt(failure, this.#pressure !== 'none')
    if (failure !== 'none') this.#quiet.notify()
    this.#dispatcher.look()
  }

  async #stop(graceMs: number): Promise<void> {
    const cancel = this.#clock.after(graceMs, () => this.#expireGrace())
    const neverStarted = this.#state === 'starting'
    // Continue asynchronously, so that `#stopping` is set first.
    await Promise.resolve()
    const giveUp = this.#buffer.keeps && this.#dispatcher.failure !== 'none'
    if (graceMs <= 0 || neverStarted || giveUp) this.#expireGrace()
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

  /** Ends the grace period: held events are kept, or dropped and counted. */
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
