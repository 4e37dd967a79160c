import { MAX_TIMER_MS } from '../../config/yaml/units.ts'
import type { Clock } from './clock.ts'

/** A timer that is set or not, never twice. Whoever sets it looks again when it goes off: a very long wait ends early. */
export class Timer {
  readonly #clock: Clock
  #cancel: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isSet(): boolean {
    return this.#cancel !== undefined
  }

  /** Goes off once after `ms`, instead of what was set before. */
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
