import type { NumberedRecord } from './audit.ts'

/** Reads a sink once, to its present end. Yields undefined for a record without numbers. Throws ExportError if it cannot be read. */
export interface Source {
  (): AsyncIterable<NumberedRecord | 'unreadable' | undefined>
}
