/**
 * How late the event loop is: a timer that is due every tenth of a second and sees when it comes. While the loop is
 * held up (a policy being loaded, a long collection of garbage) it reads no ring and sends no batch.
 */
import { Histogram } from '../../../exporters/index.ts'
import type { HistogramCounts } from '../../../exporters/index.ts'

const EVERY_MS = 100
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]

export class LoopLag implements Disposable {
  readonly #lag = new Histogram(SECONDS)
  readonly #timer: NodeJS.Timeout
  #dueMs: number

  /** `nowMs` never goes back. Keeps no process alive. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#dueMs = nowMs() + EVERY_MS
    this.#timer = setInterval(() => {
      const now = nowMs()
      this.#lag.add((now - this.#dueMs) / 1000)
      this.#dueMs = now + EVERY_MS
    }, EVERY_MS).unref()
  }

  /** One value for each tenth of a second that has passed. */
  get seconds(): HistogramCounts {
    return this.#lag
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
