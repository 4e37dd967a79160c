import type { Encoded } from '../contract/exporter.ts'
import type { PackageExporter } from '../sinks/npm/api.ts'

/** An exporter and its sink for the contract tests; new for each test and disposed after it. */
export interface Harness extends Partial<Disposable & AsyncDisposable> {
  /** Not yet started. */
  readonly exporter: PackageExporter
  /** Ids of all events in the sink, in order of arrival; `idsOf` reads them from lines. Throws for a torn line. */
  ids(): number[] | Promise<number[]>
  /** Makes the next `calls` calls of the sink fail temporarily (a full disk, a 503, a reset connection). */
  fail(calls: number): void
  /**
   * Stops the sink from answering, to test that an aborted send settles soon; a send that never settles blocks its exporter for
   * ever. Or returns why this kind of sink cannot do that; the test is then skipped with this sentence.
   */
  stall(): Stall | string
  /** `count` numbered events from `firstSeq` on, if the exporter cannot take `{"id":N}` lines. */
  encode?(firstSeq: number, count: number): Encoded
  /** True if the sink may take events of a failed call: events may then arrive twice. */
  readonly repeats?: boolean
}

/** A sink that does not answer. */
export interface Stall {
  /** Settles when the exporter waits for the sink. */
  readonly reached: Promise<unknown>
  /** Lets the sink answer again. */
  release(): void
}
