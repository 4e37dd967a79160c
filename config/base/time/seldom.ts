/** A report that would else repeat with every failure: at most once a minute. */
const EVERY_MS = 60_000

export class Seldom {
  #lastMs = Number.NEGATIVE_INFINITY

  /** Whether a minute has passed since the last time that it was due. */
  due(nowMs: number): boolean {
    if (nowMs - this.#lastMs < EVERY_MS) return false
    this.#lastMs = nowMs
    return true
  }
}
