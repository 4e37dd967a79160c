/** A reader's place in a segment. */
import type { Segment } from './catalog.ts'
import type { SpoolFile } from './files/files.ts'
import type { FrameHead } from './format/format.ts'
import { unpack, unpackedBytes } from './format/packing.ts'
import { findFrame, frameAt, payloadOf } from './format/scan.ts'
import type { Bounds, Found, Window } from './format/scan.ts'

/** A frame read from a segment. The caller owns the payload. */
export interface ReadFrame extends Pick<FrameHead, 'seq' | 'count' | 'first' | 'last'> {
  /** The agent run of `first` and `last`. */
  readonly epoch: string
  readonly payload: Buffer
}

/** Limits of one `next`: bytes of payload, and events. */
export interface Most {
  readonly bytes: number
  readonly events: number
}

export interface Place {
  readonly segment: Segment
  readonly file: SpoolFile
  readonly window: Window
  readonly generation: number
  offset: number
  /** The appender's number of the last event read in this segment. */
  mark: number
}

/** Frames from position `seq` on, up to the first damage; only skips damage at the start. */
export async function collect(
  place: Place,
  seq: number,
  bounds: Bounds,
  most: Most,
): Promise<{ frames: readonly ReadFrame[]; offset: number; skippedBytes: number }> {
  const { window, segment } = place
  const frames: ReadFrame[] = []
  let expected = seq
  let bytes = 0
  let events = 0
  let skippedBytes = 0
  let { offset } = place
  while (offset < bounds.end) {
    let found: Found | undefined = await frameAt(window, offset, bounds)
    if (found === undefined) {
      if (frames.length > 0) break
      found = await findFrame(window, offset + 1, { ...bounds, minSeq: expected })
      skippedBytes += (found?.offset ?? bounds.end) - offset
      if (found === undefined) break
    }
    if (found.seq + found.count <= expected) {
      place.mark = found.last
      offset = found.end
      continue
    }
    if (frames.length > 0 && (found.seq !== expected || events + found.count > most.events)) break
    const stored = await payloadOf(window, found)
    if (stored.length !== found.bytes) break
    const size = unpackedBytes(stored, found.packed)
    if (frames.length > 0 && bytes + size > most.bytes) break
    const { count, first, last } = found
    // A copy, because the window is reused.
    const payload = found.packed ? unpack(stored, true) : Buffer.from(stored)
    frames.push({ seq: found.seq, count, first, last, epoch: segment.header.epoch, payload })
    expected = found.seq + count
    bytes += size
    events += count
    offset = found.end
  }
  return { frames, offset, skippedBytes }
}
