/** Divides long work on the event loop, so that the ring is read and pages are served in between. */
import { setImmediate } from 'node:timers/promises'

const TURN_MS = 5

export class Turns {
  readonly #nowMs: () => number
  #startMs: number

  /** The first turn begins now. `nowMs`: monotonic. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
    this.#startMs = nowMs()
  }

  /** Whether this turn is over: then `await rest()`. */
  get over(): boolean {
    return this.#nowMs() - this.#startMs >= TURN_MS
  }

  /** Gives the event loop a turn. */
  async rest(): Promise<void> {
    await setImmediate()
    this.#startMs = this.#nowMs()
  }
}
