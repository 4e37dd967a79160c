/**
 * Measures the lag of the event loop: how late a timer of 100 ms fires. While the loop is busy (loading a policy, a long garbage collection)
 * the agent reads no ring and sends no batch. The timer runs only while the agent works, because it would wake an idle one ten times a second.
 */
import { Histogram } from '../../../exporters/index.ts'

const EVERY_MS = 100
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]

export class LoopLag implements Disposable {
  /** One value per 100 ms of work. */
  readonly seconds: Histogram = new Histogram(SECONDS)
  readonly #nowMs: () => number
  #timer: NodeJS.Timeout | undefined
  #dueMs = 0
  #works = false
  #ended = false

  /** `nowMs`: monotonic. The timer does not keep the process alive. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  /** Call it before long work: measures until nothing has begun for 100 ms. Cheap. */
  working(): void {
    this.#works = true
    if (this.#timer !== undefined || this.#ended) return
    this.#dueMs = this.#nowMs() + EVERY_MS
    this.#timer = setInterval(() => this.#measure(), EVERY_MS).unref()
  }

  #measure(): void {
    const now = this.#nowMs()
    this.seconds.add((now - this.#dueMs) / 1000)
    this.#dueMs = now + EVERY_MS
    if (!this.#works) this.#stop()
    this.#works = false
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  [Symbol.dispose](): void {
    this.#ended = true
    this.#stop()
  }
}
