import type { Clock } from '../../../../config/base/time/clock.ts'

/** A clock that does not advance by itself. */
export class FakeClock implements Clock {
  #ms = 1000
  #wallMs = Date.UTC(2026, 10, 24, 14, 3, 9, 123) - 1000
  #timers: Array<{ at: number; run: () => void }> = []

  nowMs(): number {
    return this.#ms
  }

  wallMs(): number {
    return this.#wallMs + this.#ms
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#ms + ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Sets the wall clock forward or back; no timer notices. */
  jump(ms: number): void {
    this.#wallMs += ms
  }

  /** How long until each timer now set, soonest first. */
  get pending(): readonly number[] {
    return this.#timers.map(({ at }) => at - this.#ms).toSorted((a, b) => a - b)
  }

  /** Advances the clock, running due timers in order, and lets promises settle after each. */
  async turn(ms: number): Promise<void> {
    const end = this.#ms + ms
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== due)
      this.#ms = Math.max(this.#ms, due.at)
      due.run()
      await settle()
    }
    this.#ms = end
    await settle()
  }
}

/** Lets every promise that can settle without I/O do so. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Waits for a condition that depends on I/O; fails after `deadlineMs`. */
export async function until(what: string, condition: () => boolean, deadlineMs = 30_000): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain until ${what}`)
    await settle()
  }
}
