/** What an exporter is made from beside its config, and what comes of it. */
import type { Source } from '../config/agent/effective.ts'
import type { Environment } from '../config/agent/loading/substitute.ts'
import type { Encoder, Exporter } from './contract/exporter.ts'
import type { Lost } from './contract/accounting.ts'
import type { EncoderPool } from './encoding/pool.ts'
import type { Compressors } from './runtime/compression.ts'

/** The agent's own log: what belongs to a line, and its sentence. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** The same for all exporters of this agent. */
export interface ExportersContext {
  readonly nodeName: string
  /** Names this run of the agent; the sequence of events is gap-free within it. */
  readonly epoch: string
  readonly encoders: EncoderPool
  /** Those of Node when absent. */
  readonly compressors?: Compressors
  readonly env: Environment
  readonly log: Log
  /** Hears of events that an exporter gives up, where it is known which. */
  readonly onLost?: (exporter: string, lost: Lost) => void
  /** Where packages are looked for first, beside and above it. */
  readonly configFile?: string
}

/** What one of them gets; its encoders redact and cut fields as its config says. */
export interface ExporterContext extends Omit<ExportersContext, 'onLost'> {
  /** The user's name for it. */
  readonly name: string
  /** What of its config is from variables. */
  readonly sources: readonly Source[]
  /** A warning in the log, under its name. */
  readonly warn: (message: string) => void
}

/** An exporter, not yet started, and where its bytes come from. */
export interface MadeExporter {
  readonly exporter: Exporter
  readonly encoder: Encoder
  /** It needs to know of events beside their bytes (contract/described.ts). */
  readonly describe?: boolean
}

/** Rejects with ExportError UNUSABLE for what can never work. `Config` is the exporter's effective config. */
export type MakeExporter<Config> = (config: Config, context: ExporterContext) => MadeExporter | Promise<MadeExporter>
