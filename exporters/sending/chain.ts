/**
 * Sends a buffer's events to one exporter, from `run` until the end or until it is halted:
 *
 *     buffer ─▶ batcher ─▶ delivery ─▶ exporter
 *
 * The next chain of the buffer sends, in order, the events that a halted chain leaves, waiting or in flight.
 */
import type { Buffer } from '../buffer/buffer.ts'
import type { Counters } from '../buffer/counters.ts'
import type { Failure } from '../buffer/in-flight-batch.ts'
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
import { Dispatcher } from './dispatcher.ts'
import type { Meters } from './meters.ts'

/** A sink and how to send to it: the part that a reload of the config may replace. */
export interface Sink {
  readonly exporter: Exporter
  readonly config: ChainConfig
  /** Returns how many of `events` may pass. */
  readonly rateLimit?: { take(events: number): number }
  readonly deadLetters?: DeadLetterRecords
}

/** Opens a sink and its dead-letter file. Throws ExportError if one of them can never work. */
export async function openSink({ exporter, deadLetters }: Sink): Promise<void> {
  await deadLetters?.start()
  await exporter.start()
}

/** The parts that stay when the sink is replaced. */
export interface ChainDeps {
  readonly buffer: Buffer
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
  readonly #clock: Clock
  readonly #buffer: Buffer
  readonly #batcher: Batcher
  readonly #limit: ConcurrencyLimit
  readonly #dispatcher: Dispatcher
  /** Ends waits for a retry. */
  readonly #nudge: Signal
  readonly #deadline = new AbortController()
  #halted = false
  /** Settles when nothing more is sent. */
  ended: Promise<void> = Promise.resolve()

  constructor(sink: Sink, deps: ChainDeps) {
    const { exporter, config, deadLetters } = sink
    const { buffer, accounting, meters, clock, random, stopping, onSettled, onFailure } = deps
    this.sink = sink
    this.#clock = clock
    this.#buffer = buffer
    this.#nudge = new Signal(clock)
    this.#batcher = new Batcher(buffer, config.batch, clock)
    this.#limit = new ConcurrencyLimit(exporter.maxConcurrency ?? 1)
    const deadline = this.#deadline.signal
    const halted = (): boolean => this.#halted
    const delivery = new BatchDelivery({
      exporter,
      config,
      clock,
      random,
      accounting,
      meters,
      limit: this.#limit,
      deadLetters,
      nudge: this.#nudge,
      deadline,
      halted,
      stopping,
      buffer,
      onSettled,
      onFailure,
    })
    this.#dispatcher = new Dispatcher({
      batcher: this.#batcher,
      delivery,
      limit: this.#limit,
      clock,
      inFlight: buffer.inFlight,
      deadline,
      halted,
      onEnd: onFailure,
    })
  }

  /** Opens the sink and its dead-letter file. Throws ExportError if one of them can never work. */
  open(): Promise<void> {
    return openSink(this.sink)
  }

  /** Begins to send. */
  run(): void {
    for (const batch of this.#buffer.inFlight) batch.failure = 'none'
    this.ended = this.#dispatcher.run()
  }

  get failure(): Failure {
    return this.#dispatcher.failure
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
    this.#dispatcher.look()
  }

  /**
   * Starts nothing more. Running calls end by themselves, or are aborted after `ms`; unsettled events stay in flight. Rejects with ExportError
   * TIMEOUT when one does not even end then.
   */
  async halt(ms: number): Promise<void> {
    this.#halted = true
    this.#batcher.halt()
    this.#nudge.notify()
    this.#dispatcher.look()
    let ended = false
    const cancel = this.#clock.after(ms, () => this.#deadline.abort())
    const longestMs = ms + 2 * ABANDON_MS
    await waitAtMost(
      this.ended.then(() => void (ended = true)),
      longestMs,
      this.#clock,
    )
    cancel()
    if (!ended) throw new ExportError('TIMEOUT', `its sink or disk has not answered for ${longestMs} ms`)
  }

  /** No more events will come: sends the waiting ones, then ends. */
  end(): void {
    this.#batcher.end()
    this.#nudge.notify()
  }

  /** Ends now, also if events wait or a disk hangs. */
  cut(): void {
    this.#deadline.abort()
    this.#batcher.cut()
    this.#nudge.notify()
    this.#dispatcher.look()
  }

  /** Closes the sink, in about a second, and the dead-letter file until `endMs`. */
  async close(endMs: number): Promise<void> {
    const { exporter, deadLetters } = this.sink
    await waitAtMost(exporter.stop(), ABANDON_MS, this.#clock)
    if (deadLetters === undefined) return
    await waitAtMost(deadLetters.close(), Math.max(0, endMs - this.#clock.nowMs()), this.#clock)
  }
}
