import type { EffectiveExporter } from '../../config/agent/effective.ts'
import type { Clock } from '../../config/base/time/clock.ts'

type RateLimit = NonNullable<EffectiveExporter['rate_limit']>

/** A token bucket, full at the start. In any time t at most burst + t * events / per events pass. */
export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  readonly #clock: Pick<Clock, 'nowMs'>
  #tokens: number
  #filledMs: number

  constructor({ events, per, burst }: RateLimit, clock: Pick<Clock, 'nowMs'>) {
    this.#perMs = events / per
    this.#burst = burst
    this.#clock = clock
    this.#tokens = burst
    this.#filledMs = clock.nowMs()
  }

  /** Returns the number of `count` events that may pass now. */
  take(count: number): number {
    const nowMs = this.#clock.nowMs()
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledMs) * this.#perMs)
    this.#filledMs = nowMs
    const passing = Math.min(count, Math.floor(this.#tokens))
    this.#tokens -= passing
    return passing
  }
}
