/** The time, replaceable in tests. */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary start. */
  nowMs(): number
  /** Milliseconds since 1970, UTC. */
  wallMs(): number
  /** Calls `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void
}

/** The real clock. Its timers keep the process alive; they only run while events are held. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}

/** A random number in [0, 1). */
export type Random = () => number

/** Wakes waiting callers. A `notify` without waiters has no effect. */
export class Signal {
  readonly #waiters = new Set<() => void>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  notify(): void {
    for (const wake of this.#waiters) wake()
  }

  wait(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiters.delete(wake)
        cancel?.()
        resolve()
      }
      const cancel = ms === undefined ? undefined : this.#clock.after(ms, wake)
      this.#waiters.add(wake)
    })
  }
}
