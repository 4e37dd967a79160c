/**
 * Pulls batches and delivers up to `limit` at once. Starts no more while one of them fails, because the next would fail too.
 */
import type { Batcher } from './batcher.ts'
import { Signal } from '../../config/base/time/clock.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import type { ConcurrencyLimit } from './concurrency.ts'
import type { BatchDelivery } from './batch-delivery.ts'
import type { Buffer } from '../buffer/buffer.ts'
import type { Failure, InFlightBatch } from '../buffer/in-flight-batch.ts'

/** In order of severity. */
const WORSE: readonly Failure[] = ['none', 'retrying', 'hold', 'failed']

export interface DispatcherDeps {
  readonly batcher: Batcher
  readonly delivery: BatchDelivery
  readonly limit: ConcurrencyLimit
  readonly clock: Clock
  readonly inFlight: Buffer['inFlight']
  /** Aborts when nothing more is to be sent. */
  readonly deadline: AbortSignal
  /** Batches stay in flight, for another dispatcher. */
  readonly halted: () => boolean
  /** A batch is settled. */
  readonly onEnd: () => void
}

export class Dispatcher {
  readonly #deps: DispatcherDeps
  readonly #slot: Signal
  #delivering = 0

  constructor(deps: DispatcherDeps) {
    this.#deps = deps
    this.#slot = new Signal(deps.clock)
  }

  /** The most severe failure of the batches in flight. */
  get failure(): Failure {
    let worst = 0
    for (const { failure } of this.#deps.inFlight) worst = Math.max(worst, WORSE.indexOf(failure))
    return WORSE[worst] ?? 'none'
  }

  /** Sends batches left in flight by an earlier dispatcher, then the batcher's, until that has ended or a halt. Waits for all deliveries. */
  async run(): Promise<void> {
    const { batcher, inFlight, halted } = this.#deps
    for (const batch of inFlight) {
      await this.#free()
      if (halted()) break
      void this.#deliver(batch)
    }
    for (;;) {
      await this.#free()
      const batch = await batcher.next()
      if (batch === undefined) break
      if (!halted()) void this.#deliver(batch)
    }
    while (this.#delivering > 0) await this.#slot.wait()
  }

  /** Call when the limit, a failure or the deadline has changed: another batch may be sent. */
  look(): void {
    this.#slot.notify()
  }

  async #free(): Promise<void> {
    const { limit, deadline, halted } = this.#deps
    while (this.#delivering > 0 && !deadline.aborted && !halted()) {
      if (this.#delivering < limit.limit && this.failure === 'none') return
      await this.#slot.wait()
    }
  }

  async #deliver(batch: InFlightBatch): Promise<void> {
    const { batcher, delivery, inFlight, onEnd } = this.#deps
    this.#delivering++
    await delivery.run(batch)
    this.#delivering--
    if (batch.count === 0) {
      if (inFlight.size === 0) batcher.notify()
      onEnd()
    }
    this.#slot.notify()
  }
}
