import type { Clock } from '../../runtime/clock.ts'

/** Longest wait that a timer of Node takes, in whole days: past 2^31 - 1 ms it would go off at once. */
const LONGEST_MS = 24 * 86_400_000

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
    this.#cancel = this.#clock.after(Math.min(ms, LONGEST_MS), () => {
      this.#cancel = undefined
      run()
    })
  }

  cancel(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
