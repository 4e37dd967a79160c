/** One segment file being written. */
import type { Segment } from '../catalog.ts'
import { asError } from '../../../contract/errors.ts'
import { ignoring, writeFully } from '../files/file-access.ts'
import type { SpoolFile, SpoolFiles } from '../files/files.ts'
import { encodeFrameHead, encodeHeader, FRAME_HEAD, segmentName } from './format.ts'
import type { SegmentHeader } from './format.ts'

/** An appended frame: opaque bytes in parts, which must not change until they are durable. */
export interface SpoolFrame {
  readonly parts: readonly Uint8Array[]
  readonly count: number
  /** The appender's own numbers of its first and last event. */
  readonly first: number
  readonly last: number
  /** The parts are compressed by `pack`. */
  readonly packed?: boolean
}

/** A frame with its position. */
export interface Placed extends SpoolFrame {
  readonly seq: number
}

export function sizeOf(frame: SpoolFrame): number {
  return frame.parts.reduce((sum, { length }) => sum + length, FRAME_HEAD)
}

export class SegmentWriter {
  readonly segment: Segment
  file: SpoolFile
  /** No more appends. */
  sealed = false
  /** Its file was removed or has no valid events: closed, and not synced. */
  gone = false

  private constructor(segment: Segment, file: SpoolFile) {
    this.segment = segment
    this.file = file
  }

  /** Creates the file, empty until the first `put`. Rejects with the system's error. */
  static async create(dir: string, header: SegmentHeader, files: SpoolFiles): Promise<SegmentWriter> {
    const path = `${dir}/${segmentName(header.number)}`
    const segment = { header, path, bytes: 0, writtenMs: header.createdMs, lastMark: header.previousMark }
    return new SegmentWriter(segment, await files.open(path, 'create'))
  }

  /**
   * Appends all frames or none; returns the offset of each, or a failure. After a failure the file is cut back and sealed: a power
   * cut may restore partly written frames, which must not appear between later ones. After the base of the next segment they are
   * ignored.
   */
  async put(frames: readonly Placed[], wallMs: number): Promise<readonly number[] | Error> {
    const { segment } = this
    const buffers: Uint8Array[] = segment.bytes === 0 ? [encodeHeader(segment.header)] : []
    let at = segment.bytes + (buffers[0]?.length ?? 0)
    const offsets = frames.map((frame) => {
      const offset = at
      buffers.push(
        encodeFrameHead({ ...frame, packed: frame.packed === true }, frame.parts, segment.header.salt),
        ...frame.parts,
      )
      at += sizeOf(frame)
      return offset
    })
    try {
      await writeFully(this.file, buffers, segment.bytes)
    } catch (error) {
      this.sealed = true
      await ignoring(this.file.truncate(segment.bytes))
      return asError(error)
    }
    segment.bytes = at
    segment.writtenMs = wallMs
    segment.lastMark = frames.at(-1)?.last ?? segment.lastMark
    return offsets
  }

  close(): Promise<string> {
    this.gone = true
    return ignoring(this.file.close())
  }
}
