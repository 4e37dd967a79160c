import { MAX_TIMER_MS } from '../units.ts'
import type { Clock } from './clock.ts'

/** At most one pending timer. Very long waits end early, so the callback must check whether the time has come. */
export class Timer {
  readonly #clock: Clock
  #cancel: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isSet(): boolean {
    return this.#cancel !== undefined
  }

  /** Calls `run` once after `ms`; replaces an earlier call. */
  set(ms: number, run: () => void): void {
    this.cancel()
    this.#cancel = this.#clock.after(Math.min(ms, MAX_TIMER_MS), () => {
      this.#cancel = undefined
      run()
    })
  }

  cancel(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
