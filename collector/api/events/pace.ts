/**
 * How much of the event loop live readers may take: what it has left, and a small share when it has nothing left. An event costs a reader more
 * than it costs an exporter, so without this a reader that keeps up would take a third of the throughput of an agent at its limit.
 */

/** Not by setImmediate: the loop would never wait, and never seem to have time left. */
export const PAUSE_MS = 20
/** How long a look at the loop holds. */
const WINDOW_MS = 100
/** A loop that waits less has nothing left. */
const IDLE_SHARE = 0.05
/** Of a loop that has nothing left. Measured is the encoding; sending takes as long again. */
const SHARE = 0.02

/** The total time that the event loop has waited, in ms. */
export type Idle = () => number

export class Pace {
  readonly #nowMs: () => number
  readonly #idleMs: Idle
  #sinceMs: number
  #idleBeforeMs: number
  #usedMs = 0
  #busy = false

  constructor(
    nowMs: () => number = () => performance.now(),
    idleMs: Idle = () => performance.eventLoopUtilization().idle,
  ) {
    this.#nowMs = nowMs
    this.#idleMs = idleMs
    this.#sinceMs = nowMs()
    this.#idleBeforeMs = idleMs()
  }

  /** Whether readers have had their share for now: ask again after PAUSE_MS, and let the loop wait until then. */
  get exhausted(): boolean {
    const now = this.#nowMs()
    const elapsed = now - this.#sinceMs
    if (elapsed >= WINDOW_MS) {
      const idle = this.#idleMs()
      this.#busy = idle - this.#idleBeforeMs < IDLE_SHARE * elapsed
      this.#idleBeforeMs = idle
      this.#sinceMs = now
      this.#usedMs = this.#busy ? Math.max(0, this.#usedMs - SHARE * elapsed) : 0
    }
    return this.#busy && this.#usedMs >= SHARE * WINDOW_MS
  }

  /** Runs and counts what a reader does. */
  count<T>(run: () => T): T {
    const startMs = this.#nowMs()
    const result = run()
    this.#usedMs += this.#nowMs() - startMs
    return result
  }
}
