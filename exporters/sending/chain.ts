/**
 * Sends a buffer's events to one exporter, from `run` until the end or until it is halted:
 *
 *     buffer ─▶ batcher ─▶ delivery ─▶ exporter
 *
 * Delivers as many batches at once as the limit allows. Starts no more while one of them fails, because the next would fail too.
 * The next chain of the buffer sends, in order, the events that a halted chain leaves, waiting or in flight.
 */
import type { MemoryBuffer } from '../buffer/memory-buffer.ts'
import type { Counters } from '../buffer/counters.ts'
import type { Failure, InFlightBatch } from '../buffer/in-flight-batch.ts'
import type { Exporter } from '../contract/exporter.ts'
import { ExportError } from '../contract/errors.ts'
import { Signal } from '../../config/base/time/clock.ts'
import type { Clock, Random } from '../../config/base/time/clock.ts'
import { waitAtMost } from '../../config/base/time/deadline.ts'
import { ABANDON_MS } from '../runtime/timeout.ts'
import { Batcher } from './batcher.ts'
import { ConcurrencyLimit } from './concurrency.ts'
import type { ChainConfig } from './config.ts'
import { BatchDelivery } from './batch-delivery.ts'
import type { DeadLetterRecords } from './batch-delivery.ts'
import type { Meters } from './meters.ts'

/** In order of severity. */
const WORSE: readonly Failure[] = ['none', 'retrying', 'hold', 'failed']

/** A sink and how to send to it: the part that a reload of the config may replace. */
export interface Sink {
  readonly exporter: Exporter
  readonly config: ChainConfig
  /** Returns the number of `events` that may pass. */
  readonly rateLimit?: { take(events: number): number } | undefined
  readonly deadLetters?: DeadLetterRecords | undefined
}

/** Opens a sink and its dead-letter file. Throws ExportError if one of them can never work. */
export async function openSink({ exporter, deadLetters }: Sink): Promise<void> {
  await deadLetters?.start()
  await exporter.start()
}

/** The parts that stay when the sink is replaced. */
export interface ChainDeps {
  readonly buffer: MemoryBuffer
  readonly accounting: Counters
  readonly meters: Meters
  readonly clock: Clock
  readonly random: Random
  readonly stopping: () => boolean
  /** Events are settled. */
  readonly onSettled: () => void
  /** The failure of a batch may have changed. */
  readonly onFailure: () => void
}

export class Chain {
  readonly sink: Sink
  readonly #deps: ChainDeps
  readonly #batcher: Batcher
  readonly #limit: ConcurrencyLimit
  readonly #delivery: BatchDelivery
  /** Ends waits for a retry. */
  readonly #nudge: Signal
  /** The limit, a failure or the deadline has changed, or a delivery has ended. */
  readonly #slot: Signal
  readonly #deadline = new AbortController()
  #delivering = 0
  #halted = false
  /** Settles when nothing more is sent. */
  ended: Promise<void> = Promise.resolve()

  constructor(sink: Sink, deps: ChainDeps) {
    const { exporter, config, deadLetters } = sink
    this.sink = sink
    this.#deps = deps
    this.#nudge = new Signal(deps.clock)
    this.#slot = new Signal(deps.clock)
    this.#batcher = new Batcher(deps.buffer, config.batch, deps.clock)
    this.#limit = new ConcurrencyLimit(exporter.maxConcurrency ?? 1)
    this.#delivery = new BatchDelivery({
      ...deps,
      exporter,
      config,
      deadLetters,
      limit: this.#limit,
      nudge: this.#nudge,
      deadline: this.#deadline.signal,
      halted: () => this.#halted,
    })
  }

  /** Begins to send. */
  run(): void {
    for (const batch of this.#deps.buffer.inFlight) batch.failure = 'none'
    this.ended = this.#run()
  }

  /** Batches that an earlier chain left in flight come first. Waits for all deliveries. */
  async #run(): Promise<void> {
    for (const batch of this.#deps.buffer.inFlight) {
      await this.#free()
      if (this.#halted) break
      void this.#deliver(batch)
    }
    for (;;) {
      await this.#free()
      const batch = await this.#batcher.next()
      if (batch === undefined) break
      if (!this.#halted) void this.#deliver(batch)
    }
    while (this.#delivering > 0) await this.#slot.wait()
  }

  async #free(): Promise<void> {
    while (this.#delivering > 0 && !this.#deadline.signal.aborted && !this.#halted) {
      if (this.#delivering < this.limit && this.failure === 'none') return
      await this.#slot.wait()
    }
  }

  async #deliver(batch: InFlightBatch): Promise<void> {
    const { buffer, onFailure } = this.#deps
    this.#delivering++
    await this.#delivery.run(batch)
    this.#delivering--
    if (batch.count === 0) {
      if (buffer.inFlight.size === 0) this.#batcher.notify()
      onFailure()
    }
    this.#slot.notify()
  }

  /** The most severe failure of the batches in flight. */
  get failure(): Failure {
    let worst = 0
    for (const { failure } of this.#deps.buffer.inFlight) worst = Math.max(worst, WORSE.indexOf(failure))
    return WORSE[worst] ?? 'none'
  }

  /** Current limit of requests in flight. */
  get limit(): number {
    return this.#limit.limit
  }

  get halted(): boolean {
    return this.#halted
  }

  /** The buffer has more events. */
  notify(): void {
    this.#batcher.notify()
  }

  /** Sends waiting events without waiting for more. */
  flush(): void {
    this.#batcher.flush()
  }

  /** Ends a wait for a retry. */
  retry(): void {
    this.#nudge.notify()
  }

  /** Another batch may be sent. */
  look(): void {
    this.#slot.notify()
  }

  /**
   * Starts nothing more. Running calls end by themselves, or are aborted after `ms`; unsettled events stay in flight. Rejects with ExportError
   * TIMEOUT when one does not even end then.
   */
  async halt(ms: number): Promise<void> {
    this.#halted = true
    this.#batcher.halt()
    this.#nudge.notify()
    this.look()
    let ended = false
    const cancel = this.#deps.clock.after(ms, () => this.#deadline.abort())
    const longestMs = ms + 2 * ABANDON_MS
    await waitAtMost(
      this.ended.then(() => void (ended = true)),
      longestMs,
      this.#deps.clock,
    )
    cancel()
    if (!ended) throw new ExportError('TIMEOUT', `its sink or disk has not answered for ${longestMs} ms`)
  }

  /** Ends the input: sends waiting events, then ends. */
  end(): void {
    this.#batcher.end()
    this.#nudge.notify()
  }

  /** Ends now, also if events wait or a disk hangs. */
  cut(): void {
    this.#deadline.abort()
    this.#batcher.cut()
    this.#nudge.notify()
    this.look()
  }

  /** Closes the sink, in about a second, and the dead-letter file until `endMs`. */
  async close(endMs: number): Promise<void> {
    const { exporter, deadLetters } = this.sink
    await waitAtMost(exporter.stop(), ABANDON_MS, this.#deps.clock)
    if (deadLetters === undefined) return
    await waitAtMost(deadLetters.close(), Math.max(0, endMs - this.#deps.clock.nowMs()), this.#deps.clock)
  }
}
