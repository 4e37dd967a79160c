import type { Environment } from '../../config/agent/loading/substitute.ts'
import type { NumberedRecord } from './audit.ts'

/** Reads a sink once, to its present end. Yields undefined for a record without numbers. Throws ExportError if it cannot be read. */
export type Source = () => AsyncIterable<NumberedRecord | 'unreadable' | undefined>

export interface AuditedSource {
  readonly env: Environment
  /** Older records are not read where the sink can select by time. */
  readonly sinceMs: number | undefined
  readonly nowMs: number
  /** Time after which a silent sink is given up. Default: 30 s. */
  readonly silenceMs?: number
}

export interface SourceOptions extends AuditedSource {
  /** Aborts if the sink is given up. */
  readonly signal: AbortSignal
  /** Called after each data from the sink. */
  readonly heard: () => void
}
