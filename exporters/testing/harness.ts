import type { Encoded } from '../contract/exporter.ts'
import type { PackageExporter } from '../sinks/npm/api.ts'

/** What the contract test needs to know of one kind of exporter and its sink, fresh for each test and disposed after it. */
export interface Harness extends Partial<Disposable & AsyncDisposable> {
  /** Not yet started. */
  readonly exporter: PackageExporter
  /** Numbers of all events that the sink has, in the order it got them; `idsOf` reads them from lines. Throws where one is torn. */
  ids(): number[] | Promise<number[]>
  /** Makes the next `calls` calls of the sink fail in ways that pass by themselves (a full disk, a 503, a reset connection). */
  fail(calls: number): void
  /**
   * Makes the sink fall silent, to see that a send which is aborted on its way settles soon: one that does not stops its exporter
   * for good. Or says why no sink of this kind can, as a sentence; the test is then skipped with it.
   */
  stall(): Stall | string
  /** `count` numbered events from `firstSeq` on, where `{"id":N}` lines would not do for the exporter. */
  encode?(firstSeq: number, count: number): Encoded
  /** True when a call that failed may have been taken all the same: then an event may be there twice, though never missing. */
  readonly repeats?: boolean
}

/** A sink that does not answer. */
export interface Stall {
  /** Settles when a call of the exporter waits for the sink. */
  readonly reached: Promise<unknown>
  /** Lets the sink answer again: what waits, and all that comes. */
  release(): void
}
