/**
 * What a package that is an exporter is written against: `import type … from 'ktrail/exporter'`. Types only, so that a package
 * needs nothing of ktrail when it runs; what it needs then is in its context.
 */
import type { LogRecordExporter } from '@opentelemetry/sdk-logs'
import type { Exporter } from '../../contract/exporter.ts'

export type { Batch, Encoded, Encoding, Exporter, Outcome, Refusal } from '../../contract/exporter.ts'

/** An exporter as a package may return it: `await using` is added where it has none. */
export type PackageExporter = Omit<Exporter, 'releases' | typeof Symbol.asyncDispose> & Partial<AsyncDisposable>

/** What the agent gives to an exporter besides its options. */
export interface ExporterContext {
  /** The user's name for this exporter, unique in the config: a good name for files of its own. */
  readonly name: string
  /** The host, as in every record. */
  readonly nodeName: string
  /** Names this run of the agent. With `Encoded.firstSeq` it names an event for ever: `<epoch>-<seq>`. */
  readonly epoch: string
  /** A line in the agent's log. For what a person should know; failures belong into the Outcome. */
  warn(text: string): void
  /**
   * Makes an Exporter of any OpenTelemetry exporter of logs. What that does with a batch is its own: its retries end some
   * time, its timeouts may double, and most take a partial success for a whole one. So each event arrives at most once for
   * what it keeps to itself; our queue, spool and books stay around it.
   */
  fromLogRecordExporter(exporter: LogRecordExporter): Promise<Exporter>
}

/**
 * What a package exports, as `createExporter` or as its default. `options` are the user's, unchecked: throw an Error with a
 * sentence (option, expected, got) for what can never work, and the agent does not start; nor does it when this, or the start of
 * the exporter, takes more than 10 s.
 */
export type CreateExporter = (
  options: Readonly<Record<string, unknown>>,
  context: ExporterContext,
) => PackageExporter | Promise<PackageExporter>
