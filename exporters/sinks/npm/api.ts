// Authors of exporters may compile for a library without it.
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The interface for exporter packages: `import type … from 'ktrail/exporter'`. Types only, so that a package does not need
 * ktrail at run time; the context provides the rest.
 */
import type { LogRecordExporter } from '@opentelemetry/sdk-logs'
import type { Exporter } from '../../contract/exporter.ts'

export type { Batch, Encoded, Encoding, Exporter, Outcome, Refusal } from '../../contract/exporter.ts'

/** An exporter as returned by a package; `Symbol.asyncDispose` is optional. */
export type PackageExporter = Omit<Exporter, 'releases' | 'refusalReasons' | typeof Symbol.asyncDispose> &
  Partial<AsyncDisposable>

/** Data that the agent passes to an exporter besides its options. */
export interface ExporterContext {
  /** The exporter's name in the config; unique, so suitable for file names. */
  readonly name: string
  /** The host's name in records. */
  readonly nodeName: string
  /** Identifies this run of the agent. `<epoch>-<seq>` identifies an event; see `Encoded.firstSeq`. */
  readonly epoch: string
  /** Writes a warning to the agent's log. Failures of `send` belong into the Outcome. */
  warn(text: string): void
  /**
   * Wraps any OpenTelemetry log exporter as an Exporter, with our queue, spool and accounting around it. Its own retries are
   * limited, its timeouts may cause duplicates, and most treat a partial success as success, so events can be lost inside it.
   */
  fromLogRecordExporter(exporter: LogRecordExporter): Promise<Exporter>
}

/**
 * A package exports this as `createExporter` or as its default. `options` come from the config, unchecked. Throw an Error with a
 * message (option, expected, got) if they can never work; the agent then does not start. It also does not start if this call or
 * the exporter's `start` takes more than 10 s.
 */
export type CreateExporter = (
  options: Readonly<Record<string, unknown>>,
  context: ExporterContext,
) => PackageExporter | Promise<PackageExporter>
