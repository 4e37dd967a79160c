/** The list of segments in memory, shared by reader, writer and limits. */
import { firstIndex } from '../../../config/base/search.ts'
import type { SegmentHeader } from './format/format.ts'

/** One segment file, with the positions from its base up to the base of the next. */
export interface Segment {
  readonly header: SegmentHeader
  readonly path: string
  /** Valid bytes; later ones in the file are ignored. */
  bytes: number
  /** Time of the last append, milliseconds since 1970. */
  writtenMs: number
  /** The appender's number of the last event in it; 0 if unknown. */
  lastMark: number
}

/** Ascending, also strictly by base. */
export class Catalog {
  readonly segments: Segment[]
  /** Position after the last event. */
  end: number
  /** Increases whenever a segment is removed or replaced: remembered offsets are then stale. */
  generation = 0

  constructor(segments: readonly Segment[], end: number) {
    this.segments = [...segments]
    this.end = end
  }

  get bytes(): number {
    let sum = 0
    for (const segment of this.segments) sum += segment.bytes
    return sum
  }

  /** Position after the last possible event of segment `index`. */
  limit(index: number): number {
    return this.segments[index + 1]?.header.base ?? this.end
  }

  /** The segment of `seq`, or the first after it; -1 if there is none. */
  indexOf(seq: number): number {
    const { length } = this.segments
    const found = firstIndex(length, (index) => this.limit(index) > seq)
    return found < length ? found : -1
  }

  remove(gone: readonly Segment[]): void {
    if (gone.length === 0) return
    const rest = this.segments.filter((segment) => !gone.includes(segment))
    this.segments.splice(0, this.segments.length, ...rest)
    this.generation++
  }
}
