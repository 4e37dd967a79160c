import type { Stall } from './harness.ts'

/** A Stall for sinks made for a test: they await `pass()` before they answer. Silent from the start, until released. */
export class Silence implements Stall {
  readonly reached: Promise<void>
  readonly #reach: () => void
  readonly #over: Promise<void>
  readonly release: () => void

  constructor() {
    const reached = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    this.reached = reached.promise
    this.#reach = reached.resolve
    this.#over = over.promise
    this.release = over.resolve
  }

  /** Says that the sink has been reached; settles when it may answer. */
  pass(): Promise<void> {
    this.#reach()
    return this.#over
  }
}
