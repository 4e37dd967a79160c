/**
 * The share of the event loop for live readers: all of its idle time, or a small share if it is never idle. An event costs a reader more
 * than it costs an exporter: without this bound, a reader that keeps up would take a third of the throughput of an agent at its limit.
 */

/** A pause and not setImmediate: else the loop would never wait, and never seem to have time left. */
export const PAUSE_MS = 20
/** Time between two measurements of the loop. */
const WINDOW_MS = 100
/** A loop that waits less has no time left. */
const IDLE_SHARE = 0.05
/** The readers' share of a loop that has no time left. Only encoding is measured; sending takes as long again. */
const SHARE = 0.01

export class Pace {
  readonly #nowMs: () => number
  /** The total time that the event loop has waited. */
  readonly #idleMs: () => number
  #sinceMs: number
  #idleBeforeMs: number
  #usedMs = 0
  #busy = false

  constructor(
    nowMs: () => number = () => performance.now(),
    idleMs: () => number = () => performance.eventLoopUtilization().idle,
  ) {
    this.#nowMs = nowMs
    this.#idleMs = idleMs
    this.#sinceMs = nowMs()
    this.#idleBeforeMs = idleMs()
  }

  /** Whether readers have used up their share. If so, check again after PAUSE_MS, and let the loop wait until then. */
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

  /** Runs a reader's work and counts its time. */
  count<T>(run: () => T): T {
    const startMs = this.#nowMs()
    const result = run()
    this.#usedMs += this.#nowMs() - startMs
    return result
  }
}
