/**
 * Pulls batches and has them delivered, as many at a time as the limit allows; none more while one of them is not taken,
 * for the next would fare no better.
 */
import type { Batcher } from './batcher.ts'
import { Signal } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ConcurrencyLimit } from './concurrency.ts'
import type { Delivery } from './delivery.ts'
import type { InFlightBatch, Failure } from '../buffer/in-flight-batch.ts'

/** Each is worse than the one before. */
const WORSE: readonly Failure[] = ['none', 'retrying', 'hold', 'failed']

export interface DispatcherDeps {
  readonly batcher: Batcher
  readonly delivery: Delivery
  readonly limit: ConcurrencyLimit
  readonly clock: Clock
  /** What is under way. The batcher adds; a flight that is settled is removed here, and any other stays. */
  readonly inFlightBatches: Set<InFlightBatch>
  /** Aborted when nothing more is to be sent. */
  readonly deadline: AbortSignal
  /** A flight is settled. */
  readonly onEnd: () => void
}

export class Dispatcher {
  readonly #deps: DispatcherDeps
  readonly #slot: Signal
  #flying = 0

  constructor(deps: DispatcherDeps) {
    this.#deps = deps
    this.#slot = new Signal(deps.clock)
  }

  /** The worst of what is under way. */
  get failure(): Failure {
    let worst = 0
    for (const { failure } of this.#deps.inFlightBatches) worst = Math.max(worst, WORSE.indexOf(failure))
    return WORSE[worst] ?? 'none'
  }

  /** Runs until the batcher has ended; then nobody works on a flight any more. */
  async run(): Promise<void> {
    for (;;) {
      await this.#free()
      const inFlightBatch = await this.#deps.batcher.next()
      if (inFlightBatch === undefined) break
      void this.#deliver(inFlightBatch)
    }
    while (this.#flying > 0) await this.#slot.wait()
  }

  /** Looks again whether another batch may go: the limit, a trouble or the deadline is another now. */
  look(): void {
    this.#slot.ring()
  }

  async #free(): Promise<void> {
    const { inFlightBatches, limit, deadline } = this.#deps
    while (inFlightBatches.size > 0 && !deadline.aborted) {
      if (inFlightBatches.size < limit.limit && this.failure === 'none') return
      await this.#slot.wait()
    }
  }

  async #deliver(inFlightBatch: InFlightBatch): Promise<void> {
    const { batcher, delivery, inFlightBatches, onEnd } = this.#deps
    this.#flying++
    await delivery.run(inFlightBatch)
    this.#flying--
    if (inFlightBatch.count === 0) {
      inFlightBatch.end()
      inFlightBatches.delete(inFlightBatch)
      if (inFlightBatches.size === 0) batcher.notify()
      onEnd()
    }
    this.#slot.ring()
  }
}
