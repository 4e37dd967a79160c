/** Time as the room sees it, so that tests can turn it by hand. */
export interface Clock {
  /** Milliseconds that never go back; the zero point means nothing. */
  nowMs(): number
  /** Milliseconds since 1970, UTC. */
  wallMs(): number
  /** Calls `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void
}

/** The real clock. A timer keeps the process alive: one runs only while events are held. */
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

/** A bell: `wait` returns when it rings or after a time. A ring that nobody waits for is lost. */
export class Signal {
  readonly #waiters = new Set<() => void>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  ring(): void {
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
