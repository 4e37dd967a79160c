import type { Clock } from '../runtime/clock.ts'

export interface RateLimitOptions {
  /** Tokens that come in each period. */
  readonly events: number
  readonly perMs: number
  /** Tokens that gather at most; `events` when absent. */
  readonly burst?: number
}

/** A token bucket, full at first: over any time t at most burst + t * events / perMs events pass. */
export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  readonly #clock: Pick<Clock, 'nowMs'>
  #tokens: number
  #filledMs: number

  constructor({ events, perMs, burst = events }: RateLimitOptions, clock: Pick<Clock, 'nowMs'>) {
    this.#perMs = events / perMs
    this.#burst = burst
    this.#clock = clock
    this.#tokens = burst
    this.#filledMs = clock.nowMs()
  }

  /** How many of `count` events may pass now: the first ones. */
  take(count: number): number {
    const nowMs = this.#clock.nowMs()
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledMs) * this.#perMs)
    this.#filledMs = nowMs
    const passing = Math.min(count, Math.floor(this.#tokens))
    this.#tokens -= passing
    return passing
  }
}
