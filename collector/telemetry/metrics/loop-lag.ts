/**
 * Measures the lag of the event loop: how late a timer of 100 ms fires. While the loop is busy (loading a policy, a long garbage collection)
 * the agent reads no ring and sends no batch.
 */
import { Histogram } from '../../../exporters/index.ts'
import type { HistogramCounts } from '../../../exporters/index.ts'

const EVERY_MS = 100
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]

export class LoopLag implements Disposable {
  readonly #lag = new Histogram(SECONDS)
  readonly #timer: NodeJS.Timeout
  #dueMs: number

  /** `nowMs`: monotonic. The timer does not keep the process alive. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#dueMs = nowMs() + EVERY_MS
    this.#timer = setInterval(() => {
      const now = nowMs()
      this.#lag.add((now - this.#dueMs) / 1000)
      this.#dueMs = now + EVERY_MS
    }, EVERY_MS).unref()
  }

  /** One value per 100 ms. */
  get seconds(): HistogramCounts {
    return this.#lag
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
