/** Selects events of a spool by time and prints them as lines. */
import type { Described } from '../../../contract/described.ts'
import type { Encoded } from '../../../contract/exporter.ts'
import { pickLines } from '../../../filtering/selection.ts'
import { recordLine } from '../../../encoding/otlp/read-record.ts'

/** Milliseconds since 1970; `untilMs` is exclusive. */
export interface TimeRange {
  readonly sinceMs: number
  readonly untilMs: number
}

/** The events of a piece in the time range; undefined for none. */
export function ofTimes(piece: Described, { sinceMs, untilMs }: TimeRange): Encoded | undefined {
  const taken = Uint8Array.from(piece.times, (time) => (time >= sinceMs && time < untilMs ? 1 : 0))
  const count = taken.reduce((sum, one) => sum + one, 0)
  if (count === 0) return undefined
  return count === piece.count ? piece : pickLines(piece, { taken, count })
}

/**
 * One line per event, each with a line feed. For OTLP the body if it is an event's JSON line, else the record in OTLP's JSON
 * mapping. Throws for bytes that are not a record, which is unlikely after a valid checksum.
 */
export function linesOf(piece: Encoded): Uint8Array {
  const { encoding } = piece
  if (encoding === 'json' || encoding === 'compact') return piece.bytes
  const lines: string[] = []
  for (let i = 0, from = 0; i < piece.count; i++) {
    const to = piece.ends[i] ?? from
    lines.push(recordLine(piece.bytes.subarray(from, to), encoding), '\n')
    from = to
  }
  return Buffer.from(lines.join(''))
}
