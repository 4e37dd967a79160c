/** Reads frames of a segment: one at a known offset, or the next valid one after damage. */
import { crc32 } from 'node:zlib'
import { asError } from '../../../contract/errors.ts'
import type { Segment } from '../catalog.ts'
import { isAccess, TRIES } from '../files/file-access.ts'
import type { SpoolFile } from '../files/files.ts'
import { decodeFrameHead, FIRST_FRAME, FRAME_HEAD } from './format.ts'
import type { FrameHead } from './format.ts'

export interface Found extends FrameHead {
  readonly offset: number
  /** Where the next frame begins. */
  readonly end: number
}

/** Where to search, and the valid positions: from `minSeq` up to `limitSeq` (exclusive). */
export interface Bounds {
  readonly salt: number
  /** Readable bytes of the file. */
  readonly end: number
  readonly minSeq: number
  readonly limitSeq: number
}

const BLOCK = 4096
const SCAN_WINDOW = 1 << 20
/** More than a segment can have; lets the search after damage skip random large numbers. */
const MAX_SEGMENT_EVENTS = 2 ** 32

/** A part of a file in memory, read ahead. */
export class Window {
  readonly #file: SpoolFile
  readonly size: number
  readonly whole: boolean
  /** Treats unreadable blocks as zeros instead of failing. */
  tolerant = false
  /** The error of the last unreadable block. */
  refused: Error | undefined
  #buffer: Buffer = Buffer.alloc(0)
  #at = 0
  #filled = 0

  /** The result of `at` is valid until the next call. `whole`: also loads frames larger than `size` completely. */
  constructor(file: SpoolFile, size: number, whole: boolean) {
    this.#file = file
    this.size = size
    this.whole = whole
  }

  /** Bytes from `offset`: at least `want`, fewer only at `end` or the end of the file. */
  async at(offset: number, want: number, end: number): Promise<Buffer> {
    const inside = offset - this.#at
    if (inside < 0 || inside + want > this.#filled) {
      await this.#fill(offset, Math.max(0, Math.min(Math.max(want, this.size), end - offset)))
      return this.#buffer.subarray(0, this.#filled)
    }
    return this.#buffer.subarray(inside, Math.min(this.#filled, inside + Math.max(0, end - offset)))
  }

  async #fill(offset: number, bytes: number): Promise<void> {
    if (this.#buffer.length < bytes) this.#buffer = Buffer.allocUnsafeSlow(bytes)
    this.#at = offset
    this.#filled = 0
    while (this.#filled < bytes) {
      const rest = this.#buffer.subarray(this.#filled, bytes)
      const got = this.tolerant
        ? await this.#readOrZero(rest.subarray(0, BLOCK), offset + this.#filled)
        : await this.#file.read(rest, offset + this.#filled)
      if (got === 0) break
      this.#filled += got
    }
  }

  async #readOrZero(into: Buffer, position: number): Promise<number> {
    for (let tries = 0; tries < TRIES; tries++) {
      try {
        return await this.#file.read(into, position)
      } catch (error) {
        if (isAccess(error)) throw error
        this.refused = asError(error)
      }
    }
    into.fill(0)
    return into.length
  }
}

/** For scanning a whole segment, across damage and unreadable blocks. */
export function tolerantWindow(file: SpoolFile): Window {
  const window = new Window(file, SCAN_WINDOW, false)
  window.tolerant = true
  return window
}

/** Every valid frame of a segment in order, across damage; with a tolerant window also across unreadable blocks. */
export async function* framesOf(
  window: Window,
  segment: Segment,
  size: number,
  limitSeq: number = segment.header.base + MAX_SEGMENT_EVENTS,
): AsyncGenerator<Found> {
  let minSeq = segment.header.base
  for (let offset = FIRST_FRAME; offset < size;) {
    const bounds = { salt: segment.header.salt, end: size, minSeq, limitSeq }
    const frame = (await frameAt(window, offset, bounds)) ?? (await findFrame(window, offset + 1, bounds))
    if (frame === undefined) return
    yield frame
    minSeq = frame.seq + frame.count
    offset = frame.end
  }
}

/** The frame at `offset`, if it is valid and within the limits. */
export async function frameAt(window: Window, offset: number, bounds: Bounds): Promise<Found | undefined> {
  const bytes = await window.at(offset, FRAME_HEAD, bounds.end)
  if (bytes.length < FRAME_HEAD) return undefined
  const head = decodeFrameHead(bytes, 0)
  const end = offset + FRAME_HEAD + head.bytes
  if (!plausible(head, end, bounds)) return undefined
  const total = end - offset
  let crc: number
  if (window.whole || total <= window.size) {
    const whole = await window.at(offset, total, end)
    if (whole.length < total) return undefined
    crc = crc32(whole.subarray(8, total), bounds.salt)
  } else {
    crc = bounds.salt
    for (let at = offset + 8; at < end;) {
      const piece = await window.at(at, Math.min(end - at, window.size), end)
      if (piece.length === 0) return undefined
      crc = crc32(piece, crc)
      at += piece.length
    }
  }
  return crc === head.crc ? { ...head, offset, end } : undefined
}

/** The payload of a frame found through a window of whole frames, valid until its next call. Shorter if the file was cut meanwhile. */
export async function payloadOf(window: Window, frame: Found): Promise<Buffer> {
  const whole = await window.at(frame.offset, FRAME_HEAD + frame.bytes, frame.end)
  return whole.subarray(FRAME_HEAD)
}

/** The first valid frame at or after `from`. Searches byte by byte, because a wrong length does not lead to the next frame. */
export async function findFrame(window: Window, from: number, bounds: Bounds): Promise<Found | undefined> {
  for (let offset = from; offset + FRAME_HEAD <= bounds.end;) {
    const bytes = await window.at(offset, FRAME_HEAD, bounds.end)
    if (bytes.length < FRAME_HEAD) return undefined
    const candidate = nextPlausible(bytes, offset, bounds)
    if (candidate < 0) {
      offset += bytes.length - FRAME_HEAD + 1
      continue
    }
    const found = await frameAt(window, offset + candidate, bounds)
    if (found !== undefined) return found
    offset += candidate + 1
  }
  return undefined
}

function nextPlausible(bytes: Buffer, offset: number, bounds: Bounds): number {
  for (let i = 0; i + FRAME_HEAD <= bytes.length; i++) {
    // Skip most offsets cheaply: the highest byte of a position is 0 (53 bits). The count is not 0, unlike in blocks of zeros
    // left by a power cut.
    if (bytes[i + 15] !== 0 || bytes.readUInt32LE(i + 16) === 0) continue
    const head = decodeFrameHead(bytes, i)
    if (plausible(head, offset + i + FRAME_HEAD + head.bytes, bounds)) return i
  }
  return -1
}

function plausible(head: FrameHead, end: number, bounds: Bounds): boolean {
  return head.count > 0 && end <= bounds.end && head.seq >= bounds.minSeq && head.seq + head.count <= bounds.limitSeq
}
