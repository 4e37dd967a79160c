import type { Stall } from './harness.ts'

/** A Stall for a test's own sink, which awaits `pass()` before it answers. Silent until `release`. */
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

  /** Reports that the sink was reached; settles when it may answer. */
  pass(): Promise<void> {
    this.#reach()
    return this.#over
  }
}
