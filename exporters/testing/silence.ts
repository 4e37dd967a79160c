import type { Stall } from './harness.ts'

/** A Stall for a test's own sink, which awaits `pass()` before it answers. Silent until `release`. */
export class Silence implements Stall {
  readonly #reach = Promise.withResolvers<void>()
  readonly #over = Promise.withResolvers<void>()
  readonly reached: Promise<void> = this.#reach.promise
  readonly release: () => void = this.#over.resolve

  /** Reports that the sink was reached; settles when it may answer. */
  pass(): Promise<void> {
    this.#reach.resolve()
    return this.#over.promise
  }
}
