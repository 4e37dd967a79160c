/** One segment file being written. */
import type { Segment } from '../catalog.ts'
import { ignoring } from '../files/file-access.ts'
import type { SpoolFile, SpoolFiles } from '../files/files.ts'
import { encodeFrameHead, encodeHeader, FRAME_HEAD, segmentName } from './format.ts'
import type { SegmentHeader } from './format.ts'

/** What is appended: opaque bytes in pieces, which must not change until they are durable. */
export interface SpoolFrame {
  readonly parts: readonly Uint8Array[]
  readonly count: number
  /** The appender's own numbers of its first and last event. */
  readonly first: number
  readonly last: number
  /** The parts are what `pack` made of it. */
  readonly packed?: boolean
}

/** A frame with its place in the order. */
export interface Placed extends SpoolFrame {
  readonly seq: number
}

/** Bytes that a frame takes on disk. */
export function sizeOf(frame: SpoolFrame): number {
  return frame.parts.reduce((sum, { length }) => sum + length, FRAME_HEAD)
}

export class SegmentWriter {
  readonly segment: Segment
  file: SpoolFile
  /** Nothing more is appended. */
  sealed = false
  /** Its file was removed, or holds nothing that counts: closed, and of no interest to a sync. */
  gone = false
  #size = 0

  private constructor(segment: Segment, file: SpoolFile) {
    this.segment = segment
    this.file = file
  }

  /** Makes the file; nothing is in it before the first `put`. Rejects with what the system said. */
  static async create(dir: string, header: SegmentHeader, files: SpoolFiles): Promise<SegmentWriter> {
    const path = `${dir}/${segmentName(header.number)}`
    const segment = { header, path, bytes: 0, writtenMs: header.createdMs, lastMark: header.previousMark }
    return new SegmentWriter(segment, await files.open(path, 'create'))
  }

  /**
   * Appends all frames or none; returns where each begins, or what failed. Then the file is cut back and sealed: what was
   * written of the refused frames may come back after a power cut, and must not do so between frames written later. Behind
   * the base of the next segment it does not count.
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
      await this.#write(buffers, segment.bytes)
    } catch (error) {
      this.sealed = true
      if (this.#size > segment.bytes) await ignoring(this.file.truncate(segment.bytes))
      return error instanceof Error ? error : new Error(String(error))
    }
    segment.bytes = at
    segment.writtenMs = wallMs
    segment.lastMark = frames.at(-1)?.last ?? segment.lastMark
    return offsets
  }

  async #write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let left = buffers.filter(({ length }) => length > 0)
    this.#size = position
    while (left.length > 0) {
      // Also a write that fails may have written: the file is cut back in any case.
      const before = this.#size
      this.#size = before + 1
      let written = await this.file.write(left, before)
      this.#size = before + written
      if (written === 0) throw Object.assign(new Error('a write of several bytes wrote none'), { code: 'EIO' })
      let whole = 0
      for (const { length } of left) {
        if (length > written) break
        written -= length
        whole++
      }
      left = left.slice(whole)
      const torn = left[0]
      if (torn !== undefined && written > 0) left[0] = torn.subarray(written)
    }
  }

  close(): Promise<string> {
    this.gone = true
    return ignoring(this.file.close())
  }
}
