/** The inputs from which an exporter is created, besides its config, and the result. */
import type { Source } from '../../config/agent/effective.ts'
import type { Environment } from '../../config/agent/loading/substitute.ts'
import type { Encoder, Exporter } from '../contract/exporter.ts'
import type { Lost } from '../contract/accounting.ts'
import type { Numbering, Numberings } from '../contract/numbering.ts'
import type { EncoderPool } from '../encoding/pool.ts'
import type { Compressors } from '../runtime/compression.ts'

/** The agent's own log: fields and a message. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Shared by all exporters of this agent. */
export interface ExportersContext {
  readonly nodeName: string
  /** Machine-id of the host; undefined if it is unknown. */
  readonly hostId?: string | undefined
  /** Identifies this run of the agent; sequence numbers of events have no gaps within it. */
  readonly epoch: string
  readonly encoders: EncoderPool
  /** Default: new, without earlier runs of exporters. */
  readonly numberings?: Numberings
  /** Default: Node's. */
  readonly compressors?: Compressors
  readonly env: Environment
  readonly log: Log
  /** Called for lost events whose sequence numbers are known. */
  readonly onLost?: (exporter: string, lost: Lost) => void
  /** Packages are searched first beside and above this file. */
  readonly configFile?: string
}

/** The context of one exporter; its encoders apply the configured redaction and field filters. */
export interface ExporterContext extends Omit<ExportersContext, 'onLost' | 'numberings'> {
  /** The exporter's name in the config. */
  readonly name: string
  /** For an exporter whose records have numbers. */
  readonly numbering: Numbering
  /** Config values from environment variables. */
  readonly sources: readonly Source[]
  /** Logs a warning under the exporter's name. */
  readonly warn: (message: string) => void
}

/** An exporter, not yet started, and its encoder. */
export interface MadeExporter {
  readonly exporter: Exporter
  readonly encoder: Encoder
  /** The exporter needs descriptions of the events (contract/described.ts). */
  readonly describe?: boolean
  /** Records have numbers: in the bytes, by an encoder of this exporter alone, or in data that the exporter sends beside them. */
  readonly numbered?: boolean
}

/** Rejects with ExportError UNUSABLE for a config that can never work. `Config` is the exporter's effective config. */
export type MakeExporter<Config> = (config: Config, context: ExporterContext) => MadeExporter | Promise<MadeExporter>
