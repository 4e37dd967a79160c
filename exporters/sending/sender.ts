/**
 * One exporter's buffer and accounting, and the chain that sends its events. A reload replaces the sink; the rest stays.
 *
 *     offer ─▶ buffer ─▶ chain ─▶ sink
 *
 * Every event is counted once and settled once. At most as many concurrent `exporter.send` calls as it allows. No timer runs while
 * nothing waits. The chain does not know whether the buffer has a disk.
 */
import { Counters } from '../buffer/counters.ts'
import { DiskBuffer } from '../buffer/disk-buffer.ts'
import type { OpenSpool } from '../buffer/disk-buffer.ts'
import { isStuck } from '../buffer/in-flight-batch.ts'
import type { Failure } from '../buffer/in-flight-batch.ts'
import { MemoryBuffer } from '../buffer/memory-buffer.ts'
import { slice, spanOf } from '../contract/encoded.ts'
import { ExportError, textOf } from '../contract/errors.ts'
import type { Encoded, Encoding, Exporter, Resent } from '../contract/exporter.ts'
import type { Accounting, Lost, SenderStats } from '../contract/accounting.ts'
import { Signal, systemClock } from '../../config/base/time/clock.ts'
import type { Clock, Random } from '../../config/base/time/clock.ts'
import { waitAtMost } from '../../config/base/time/deadline.ts'
import { Chain, openSink } from './chain.ts'
import type { Sink } from './chain.ts'
import { EarlierSinks } from './earlier-sinks.ts'
import { Meters } from './meters.ts'
import type { ChainConfig } from './config.ts'

export interface SenderDeps extends Pick<Sink, 'rateLimit' | 'deadLetters'> {
  readonly clock?: Clock
  readonly random?: Random
  /** Opens the spool, if configured. Called once by `start`, which passes on its errors. */
  readonly openSpool?: OpenSpool
  /** Called for lost events whose sequence numbers are known; the accounting has all. */
  readonly onLost?: (lost: Lost) => void
  /** Called when the failure state changes; `error` is the last error, '' without a failure. */
  readonly onFailure?: (failure: Failure, error: string) => void
  /** Called with the error when the spool is full or hangs; with '' when it accepts events again. */
  readonly onSpoolFailure?: (error: string) => void
}

/** The process's memory use: above the soft or hard limit. */
export type MemoryPressure = 'none' | 'soft' | 'hard'

/** Maximum wait for a reopen before a retry: longer than a large sync to a slow disk. */
const REOPEN_MS = 5000
/** Total time for the disk at the end: a hanging disk must not keep the agent from ending. */
const DISK_END_MS = 10_000
/** Total time for a replaced sink's dead-letter file. */
const RETIRE_MS = 5000

export class Sender {
  readonly name: string
  readonly #deps: SenderDeps
  readonly #clock: Clock
  readonly #buffer: MemoryBuffer
  readonly #accounting: Counters
  readonly #meters: Meters
  readonly #earlier = new EarlierSinks()
  /** Wakes `flush` when events are settled or a batch fails. */
  readonly #quiet: Signal
  #chain: Chain
  #graceOver = false
  #pressure: MemoryPressure = 'none'
  #state: 'starting' | 'running' | 'closed' = 'starting'
  #reported: Failure = 'none'
  #stopping: Promise<void> | undefined

  constructor(name: string, exporter: Exporter, config: ChainConfig, deps: SenderDeps = {}) {
    this.name = name
    this.#deps = deps
    this.#clock = deps.clock ?? systemClock
    const clock = this.#clock
    this.#accounting = new Counters(deps.onLost)
    this.#meters = new Meters(clock)
    this.#quiet = new Signal(clock)
    this.#buffer = this.#makeBuffer(config, exporter.encoding)
    const { rateLimit, deadLetters } = deps
    this.#chain = this.#chainTo({ exporter, config, rateLimit, deadLetters })
  }

  /** Opens the spool and the sink and begins to send. Throws ExportError if one of them cannot work; it may then be called again. */
  async start(): Promise<void> {
    if (this.#state !== 'starting') return
    await this.open()
    this.run()
  }

  /** The first half of `start`. */
  async open(): Promise<void> {
    await this.#buffer.start()
    if (this.#stopping === undefined) await openSink(this.#chain.sink)
    // A stop that came first has found nothing to close.
    else await this.#buffer.close(this.#clock.nowMs() + DISK_END_MS)
  }

  /** The second half of `start`. */
  run(): void {
    if (this.#stopping !== undefined) return
    this.#state = 'running'
    this.#chain.run()
  }

  get exporter(): Exporter {
    return this.#chain.sink.exporter
  }

  /** Sends nothing more until `resume`, and holds new events meanwhile. Call `resume` also when it rejects (see `Chain.halt`). */
  pause(ms: number): Promise<void> {
    return this.#chain.halt(ms)
  }

  /** Closes the paused sink, for good, before another takes its place. Logs nothing, never rejects. */
  async retire(): Promise<void> {
    await this.#chain
      .close(this.#clock.nowMs() + RETIRE_MS)
      .catch((error: unknown) => this.#accounting.note(textOf(error)))
  }

  /**
   * Ends a pause: sends to the same sink, or to `sink`, which is started, of the same encoding, and gets all held events in order.
   */
  async resume(sink: Sink = this.#chain.sink): Promise<void> {
    const paused = this.#chain
    await paused.ended
    if (this.#chain !== paused || this.#state !== 'running') return
    if (sink !== paused.sink) {
      this.#earlier.add(paused.sink)
      this.#buffer.configure(sink.config)
    }
    this.#chain = this.#chainTo(sink)
    if (this.#graceOver) this.#chain.cut()
    this.#chain.run()
    this.#buffer.adapt('none', this.#pressure !== 'none')
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
    this.#buffer.adapt(this.#chain.failure, pressure !== 'none')
  }

  /**
   * Reopens the sink if it supports that, then retries at once. Rejects if the reopen fails or takes too long; retries anyway.
   */
  async reopen(): Promise<void> {
    let late = true
    const reopened = this.#reopenAll().finally(() => (late = false))
    await waitAtMost(reopened, REOPEN_MS, this.#clock)
    if (!late) return
    const error = new ExportError('TIMEOUT', `exporter "${this.exporter.type}" did not reopen within ${REOPEN_MS} ms`)
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
      this.#chain.flush()
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
    return { ...accounting, retries: accounting.retries + this.#resent.requests, lastError }
  }

  /** Counters specific to this kind of sink, with those of replaced sinks. */
  get ownCounters(): Readonly<Record<string, number>> | undefined {
    return this.#earlier.counters(this.exporter.counters)
  }

  stats(): SenderStats {
    const { config, deadLetters } = this.#chain.sink
    const { queue, spool: limits } = config
    const { spool, oldestAgeMs } = this.#buffer.stats()
    const meters = this.#meters.read()
    return {
      ...meters,
      duplicatesPossible: meters.duplicatesPossible + this.#resent.events,
      concurrencyLimit: this.#chain.limit,
      queueLimitBytes: queue.max_bytes,
      queueLimitEvents: queue.max_events,
      oldestAgeMs,
      deadLetters: this.#earlier.deadLetters(deadLetters?.counters),
      spool: spool === undefined ? undefined : { ...spool, limitBytes: limits?.max_size ?? 0 },
    }
  }

  /**
   * accepted − (delivered + rejected + dropped + held), with held recounted part by part. Always 0; exposed as a metric.
   */
  imbalance(): number {
    return this.#accounting.imbalance(this.#buffer.recount()) || (this.#buffer.stats().spool?.imbalance ?? 0)
  }

  get #resent(): Resent {
    return this.#earlier.resent(this.exporter.resent)
  }

  #chainTo(sink: Sink): Chain {
    return new Chain(sink, {
      buffer: this.#buffer,
      accounting: this.#accounting,
      meters: this.#meters,
      clock: this.#clock,
      random: this.#deps.random ?? Math.random,
      stopping: () => this.#stopping !== undefined,
      onSettled: () => this.#quiet.notify(),
      onFailure: () => this.#failing(),
    })
  }

  #makeBuffer(config: ChainConfig, encoding: Encoding): MemoryBuffer {
    const { openSpool, onSpoolFailure = () => {} } = this.#deps
    const deps = { counters: this.#accounting, clock: this.#clock, onReady: () => this.#chain.notify() }
    if (openSpool === undefined) return new MemoryBuffer(config, deps)
    return new DiskBuffer(config, { ...deps, encoding, openSpool, onFailure: onSpoolFailure })
  }

  /** Applies the rate limit and counts the dropped events. */
  #limited(whole: Encoded): Encoded {
    const passing = this.#chain.sink.rateLimit?.take(whole.count) ?? whole.count
    if (passing >= whole.count) return whole
    this.#accounting.drop('rate_limit', whole.count - passing, spanOf({ parts: [slice(whole, passing, whole.count)] }))
    return slice(whole, 0, passing)
  }

  async #reopenAll(): Promise<void> {
    try {
      await Promise.all([this.exporter.reopen?.(), this.#chain.sink.deadLetters?.reopen()])
    } catch (error) {
      this.#accounting.note(textOf(error))
      throw error
    } finally {
      this.#tryAtOnce()
    }
  }

  #tryAtOnce(): void {
    this.#chain.retry()
    this.#buffer.retry()
  }

  /** The buffer has events, and sending works. */
  get #busy(): boolean {
    if (this.#state !== 'running' || this.#stopping !== undefined) return false
    if (this.#chain.halted || this.#chain.failure !== 'none') return false
    const { events, onDisk } = this.#buffer.stats()
    return events + onDisk > 0
  }

  /** The failure of a batch in flight may have changed. */
  #failing(): void {
    // The next chain tries again.
    if (this.#chain.halted) return
    const { failure } = this.#chain
    if (failure !== this.#reported)
      this.#deps.onFailure?.(failure, failure === 'none' ? '' : this.accounting().lastError)
    this.#reported = failure
    // While stopping, more tries are useless if manual action is needed, and not necessary if the buffer keeps the events.
    const giveUp = isStuck(failure) || (failure !== 'none' && this.#buffer.keeps)
    if (giveUp && this.#stopping !== undefined) this.#expireGrace()
    this.#buffer.adapt(failure, this.#pressure !== 'none')
    if (failure !== 'none') this.#quiet.notify()
    this.#chain.look()
  }

  async #stop(graceMs: number): Promise<void> {
    const cancel = this.#clock.after(graceMs, () => this.#expireGrace())
    const neverStarted = this.#state === 'starting'
    // Continue asynchronously, so that `#stopping` is set first.
    await Promise.resolve()
    // A stop during a reload.
    if (this.#chain.halted) await this.resume()
    const giveUp = this.#buffer.keeps && this.#chain.failure !== 'none'
    if (graceMs <= 0 || neverStarted || giveUp) this.#expireGrace()
    this.#chain.end()
    await this.#chain.ended
    cancel()
    this.#expireGrace()
    const diskEndMs = this.#clock.nowMs() + DISK_END_MS
    await this.#buffer.finish(diskEndMs)
    this.#state = 'closed'
    await this.#chain.close(diskEndMs)
    await this.#buffer.close(diskEndMs)
  }

  /** Ends the grace period: held events are kept, or dropped and counted. */
  #expireGrace(): void {
    this.#graceOver = true
    this.#chain.cut()
    this.#quiet.notify()
    this.#buffer.endGrace()
  }

  #shownState(): Accounting['state'] {
    if (this.#state === 'closed') return 'stopped'
    if (this.#stopping !== undefined) return 'draining'
    if (this.#state === 'starting') return 'starting'
    const { failure } = this.#chain
    return failure === 'none' ? 'healthy' : failure
  }
}
