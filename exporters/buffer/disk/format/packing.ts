/**
 * Payloads that lie compressed in their frames: u32 length as it was, then one zstd frame. Events are so much alike that this costs less
 * than writing, checking and syncing the tenfold would.
 */
import { zstdDecompressSync } from 'node:zlib'
import type { Compress } from '../../../runtime/compression.ts'
import type { SpoolFrame } from './segment.ts'

const LENGTH_BYTES = 4
/** Of a chunk of node:zlib, at least. */
const LEAST_CHUNK_BYTES = 64
const NOTHING = Buffer.alloc(0)

/** The frame with bytes of its own, packed when that makes it smaller. Never rejects: what cannot be compressed is copied. */
export async function pack(frame: SpoolFrame, zstd: Compress): Promise<SpoolFrame> {
  const length = frame.parts.reduce((sum, part) => sum + part.length, 0)
  let packed: Buffer | undefined
  try {
    packed = await zstd(frame.parts)
  } catch {
    // As if it had not become smaller.
  }
  if (packed === undefined || packed.length + LENGTH_BYTES >= length) {
    return { ...frame, parts: [Buffer.concat(frame.parts)] }
  }
  const head = Buffer.allocUnsafe(LENGTH_BYTES)
  head.writeUInt32LE(length)
  return { ...frame, parts: [head, packed], packed: true }
}

/** Bytes of a payload once it is unpacked. */
export function unpackedBytes(payload: Buffer, packed: boolean): number {
  return packed && payload.length >= LENGTH_BYTES ? payload.readUInt32LE(0) : payload.length
}

/**
 * The payload as it was appended; empty, which no reader takes for events, when it is not what `pack` made. Not on another thread:
 * a part of a queue takes a fifth of a millisecond.
 */
export function unpack(payload: Buffer, packed: boolean): Buffer {
  if (!packed) return payload
  const length = unpackedBytes(payload, packed)
  try {
    const whole = zstdDecompressSync(payload.subarray(LENGTH_BYTES), {
      maxOutputLength: length,
      // One more than it fills: with the last byte of a chunk the next one is allocated, and the chunks put together.
      chunkSize: Math.max(LEAST_CHUNK_BYTES, length + 1),
    })
    return whole.length === length ? whole : NOTHING
  } catch {
    return NOTHING
  }
}
