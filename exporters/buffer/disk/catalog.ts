/** The segments there are, in memory: what the reader, the writer and the limits agree on. */
import type { SegmentHeader } from './format/format.ts'

/** One segment file. It holds the positions from its base up to the base of the next. */
export interface Segment {
  readonly header: SegmentHeader
  readonly path: string
  /** Bytes that count; what lies behind in the file does not exist. */
  bytes: number
  /** Last time something was appended, milliseconds since 1970. */
  writtenMs: number
  /** The appender's number of the last event in it; 0 when not known. */
  lastMark: number
}

/** Ascending, also strictly by base. */
export class Catalog {
  readonly segments: Segment[]
  /** Position after the last event. */
  end: number
  /** Goes up whenever a segment is taken away or replaced: places remembered before are stale. */
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

  /** Position after the last event that segment `index` may hold. */
  limit(index: number): number {
    return this.segments[index + 1]?.header.base ?? this.end
  }

  /** The segment that holds `seq`, or the first after it; -1 when there is none. */
  indexOf(seq: number): number {
    let low = 0
    let high = this.segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.limit(middle) > seq) high = middle
      else low = middle + 1
    }
    return low < this.segments.length ? low : -1
  }

  /** Takes away segments for good. */
  remove(gone: readonly Segment[]): void {
    if (gone.length === 0) return
    const rest = this.segments.filter((segment) => !gone.includes(segment))
    this.segments.splice(0, this.segments.length, ...rest)
    this.generation++
  }
}
