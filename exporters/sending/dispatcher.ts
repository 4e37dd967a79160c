/**
 * Pulls batches and has them delivered, as many at a time as the limit allows; none more while one of them is not taken,
 * for the next would fare no better.
 */
import type { Batcher } from './batcher.ts'
import { Bell } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ConcurrencyLimit } from './concurrency.ts'
import type { Delivery } from './delivery.ts'
import type { Flight, Trouble } from './flight.ts'

/** Each is worse than the one before. */
const WORSE: readonly Trouble[] = ['none', 'retrying', 'hold', 'failed']

export interface DispatcherDeps {
  readonly batcher: Batcher
  readonly delivery: Delivery
  readonly limit: ConcurrencyLimit
  readonly clock: Clock
  /** What is under way. The batcher adds; a flight that is settled is removed here, and any other stays. */
  readonly flights: Set<Flight>
  /** Aborted when nothing more is to be sent. */
  readonly deadline: AbortSignal
  /** A flight is settled. */
  readonly onEnd: () => void
}

export class Dispatcher {
  readonly #deps: DispatcherDeps
  readonly #slot: Bell
  #flying = 0

  constructor(deps: DispatcherDeps) {
    this.#deps = deps
    this.#slot = new Bell(deps.clock)
  }

  /** The worst of what is under way. */
  get trouble(): Trouble {
    let worst = 0
    for (const { trouble } of this.#deps.flights) worst = Math.max(worst, WORSE.indexOf(trouble))
    return WORSE[worst] ?? 'none'
  }

  /** Runs until the batcher has ended; then nobody works on a flight any more. */
  async run(): Promise<void> {
    for (;;) {
      await this.#free()
      const flight = await this.#deps.batcher.next()
      if (flight === undefined) break
      void this.#deliver(flight)
    }
    while (this.#flying > 0) await this.#slot.wait()
  }

  /** Looks again whether another batch may go: the limit, a trouble or the deadline is another now. */
  look(): void {
    this.#slot.ring()
  }

  async #free(): Promise<void> {
    const { flights, limit, deadline } = this.#deps
    while (flights.size > 0 && !deadline.aborted) {
      if (flights.size < limit.limit && this.trouble === 'none') return
      await this.#slot.wait()
    }
  }

  async #deliver(flight: Flight): Promise<void> {
    const { batcher, delivery, flights, onEnd } = this.#deps
    this.#flying++
    await delivery.run(flight)
    this.#flying--
    if (flight.count === 0) {
      flight.end()
      flights.delete(flight)
      if (flights.size === 0) batcher.notify()
      onEnd()
    }
    this.#slot.ring()
  }
}
