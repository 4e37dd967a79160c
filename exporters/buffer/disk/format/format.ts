/**
 * The format of a spool on disk. Little endian.
 *
 * Segment `00000001.seg`: two equal copies of the header, so that one flipped bit does not lose a whole segment, then frames.
 *
 * | header at | size | field |
 * |---|---|---|
 * | 0 | 4 | `SPL1` |
 * | 4 | 4 | version, 1; other versions must keep the first four fields, so that this one recognizes them |
 * | 8 | 4 | CRC-32 of the bytes from 12 on |
 * | 12 | 4 | segment number, equal to the file's name |
 * | 16 | 8 | creation, milliseconds since 1970 |
 * | 24 | 8 | `base`: position of the first event in this segment |
 * | 32 | 4 | salt of the frame checksums |
 * | 36 | 4 | 0 |
 * | 40 | 8 | the appender's own number of that first event |
 * | 48 | 8 | its number of the last event before this segment; 0 when not known |
 * | 56 | 32 | epoch (agent run) of these numbers, UTF-8, padded with zeros |
 *
 * | frame at | size | field |
 * |---|---|---|
 * | 0 | 4 | payload length |
 * | 4 | 4 | CRC-32, begun with the salt, of the bytes from 8 on, payload included |
 * | 8 | 8 | `seq`: position of the frame's first event |
 * | 16 | 4 | count of events; the highest bit is set when the payload is packed (packing.ts) |
 * | 20 | 8 | the appender's own number of the first event |
 * | 28 | 8 | and of the last |
 * | 36 | | payload, opaque |
 *
 * A *position* counts the events that ever entered this spool, without gaps and across restarts, so missing events are a
 * subtraction. A segment has the positions from its `base` up to the smallest base after it. Other bytes in its file (of a failed
 * write, a torn end) are ignored.
 *
 * The salt invalidates bytes of another segment (reused disk blocks) and frames that an attacker put into an event.
 *
 * Cursor `cursor`: `SPC1`, CRC-32 of the bytes from 8 on, u64 position, u32 segment, u64 offset (both only hints), u64 position.
 * Up to this last position everything was durable or dropped: it distinguishes a damaged end from a torn one.
 */
import { crc32 } from 'node:zlib'

/** Size of one copy of the segment header. */
const HEADER_COPY = 88
/** Where the first frame begins. */
export const FIRST_FRAME: number = 2 * HEADER_COPY
/** Bytes of a frame before its payload. */
export const FRAME_HEAD = 36
export const CURSOR_BYTES = 36
const VERSION = 1
const EPOCH_BYTES = 32
const PACKED = 0x8000_0000
/** Half of what a header can hold; one segment a second reaches it after 68 years. */
const MOST_SEGMENTS = 0x8000_0000

/** The first bytes of a segment. */
export interface SegmentHeader {
  readonly number: number
  readonly createdMs: number
  readonly base: number
  readonly salt: number
  readonly firstMark: number
  readonly previousMark: number
  readonly epoch: string
}

/** The first bytes of a frame. `first` and `last` are the appender's own numbers of its first and last event. */
export interface FrameHead {
  /** Length of the stored payload. */
  readonly bytes: number
  readonly packed: boolean
  readonly crc: number
  readonly seq: number
  readonly count: number
  readonly first: number
  readonly last: number
}

/** Everything before `seq` is settled. `segment` 0: no hint. */
export interface Cursor {
  readonly seq: number
  readonly segment: number
  readonly offset: number
}

/** A stored cursor, with the durable end at that time. */
export interface StoredCursor extends Cursor {
  readonly durable: number
}

export function segmentName(number: number): string {
  return `${String(number).padStart(8, '0')}.seg`
}

/** The number in a segment's file name; undefined for any other name, and for a number that leaves no room for later ones. */
export function segmentNumber(name: string): number | undefined {
  const number = Number.parseInt(name, 10)
  return segmentName(number) === name && number < MOST_SEGMENTS ? number : undefined
}

/** Both copies of the header. An epoch longer than 32 bytes is truncated. */
export function encodeHeader(header: SegmentHeader): Buffer {
  const out = Buffer.alloc(FIRST_FRAME)
  out.write('SPL1', 0, 'latin1')
  out.writeUInt32LE(VERSION, 4)
  out.writeUInt32LE(header.number, 12)
  writeU64(out, header.createdMs, 16)
  writeU64(out, header.base, 24)
  out.writeUInt32LE(header.salt, 32)
  writeU64(out, header.firstMark, 40)
  writeU64(out, header.previousMark, 48)
  out.write(header.epoch, 56, EPOCH_BYTES, 'utf8')
  out.writeUInt32LE(crc32(out.subarray(12, HEADER_COPY)), 8)
  out.copy(out, HEADER_COPY, 0, HEADER_COPY)
  return out
}

/** The header, from a valid copy of this version; undefined if there is none. */
export function decodeHeader(bytes: Buffer): SegmentHeader | undefined {
  return decodeCopy(bytes.subarray(0, HEADER_COPY)) ?? decodeCopy(bytes.subarray(HEADER_COPY, FIRST_FRAME))
}

/** The version of another release's header. Needs two equal copies, because no checksum covers the number. */
export function foreignVersion(bytes: Buffer): number | undefined {
  const copy = bytes.subarray(0, HEADER_COPY)
  if (!isWhole(copy) || !copy.equals(bytes.subarray(HEADER_COPY, FIRST_FRAME))) return undefined
  const version = copy.readUInt32LE(4)
  return version === VERSION ? undefined : version
}

function isWhole(copy: Buffer): boolean {
  if (copy.length < HEADER_COPY || copy.toString('latin1', 0, 4) !== 'SPL1') return false
  return copy.readUInt32LE(8) === crc32(copy.subarray(12))
}

function decodeCopy(copy: Buffer): SegmentHeader | undefined {
  if (!isWhole(copy) || copy.readUInt32LE(4) !== VERSION) return undefined
  const epoch = copy.subarray(56)
  const end = epoch.indexOf(0)
  return {
    number: copy.readUInt32LE(12),
    createdMs: readU64(copy, 16),
    base: readU64(copy, 24),
    salt: copy.readUInt32LE(32),
    firstMark: readU64(copy, 40),
    previousMark: readU64(copy, 48),
    epoch: epoch.toString('utf8', 0, end === -1 ? EPOCH_BYTES : end),
  }
}

/** The first bytes of a frame whose payload is `parts`, joined. */
export function encodeFrameHead(
  frame: Omit<FrameHead, 'bytes' | 'crc'>,
  parts: readonly Uint8Array[],
  salt: number,
): Buffer {
  const head = Buffer.allocUnsafe(FRAME_HEAD)
  writeU64(head, frame.seq, 8)
  head.writeUInt32LE(frame.packed ? frame.count + PACKED : frame.count, 16)
  writeU64(head, frame.first, 20)
  writeU64(head, frame.last, 28)
  let crc = crc32(head.subarray(8), salt)
  let bytes = 0
  for (const part of parts) {
    crc = crc32(part, crc)
    bytes += part.length
  }
  head.writeUInt32LE(bytes, 0)
  head.writeUInt32LE(crc, 4)
  return head
}

/** Decodes a frame header without checks. `at + FRAME_HEAD` bytes must exist. */
export function decodeFrameHead(bytes: Buffer, at: number): FrameHead {
  const count = bytes.readUInt32LE(at + 16)
  const packed = count >= PACKED
  return {
    bytes: bytes.readUInt32LE(at),
    packed,
    crc: bytes.readUInt32LE(at + 4),
    seq: readU64(bytes, at + 8),
    count: packed ? count - PACKED : count,
    first: readU64(bytes, at + 20),
    last: readU64(bytes, at + 28),
  }
}

export function encodeCursor(cursor: StoredCursor): Buffer {
  const out = Buffer.alloc(CURSOR_BYTES)
  out.write('SPC1', 0, 'latin1')
  writeU64(out, cursor.seq, 8)
  out.writeUInt32LE(cursor.segment, 16)
  writeU64(out, cursor.offset, 20)
  writeU64(out, cursor.durable, 28)
  out.writeUInt32LE(crc32(out.subarray(8)), 4)
  return out
}

/** undefined if the bytes are not a valid cursor. */
export function decodeCursor(bytes: Buffer): StoredCursor | undefined {
  if (bytes.length !== CURSOR_BYTES || bytes.toString('latin1', 0, 4) !== 'SPC1') return undefined
  if (bytes.readUInt32LE(4) !== crc32(bytes.subarray(8))) return undefined
  return {
    seq: readU64(bytes, 8),
    segment: bytes.readUInt32LE(16),
    offset: readU64(bytes, 20),
    durable: readU64(bytes, 28),
  }
}

// Positions stay below 2^53 (285 years at a million events per second), so two halves of a number suffice, without bigint.
function writeU64(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value % 0x1_0000_0000, at)
  out.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4)
}

function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000
}
