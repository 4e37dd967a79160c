/**
 * Compressed payloads: u32 original length, then one zstd frame. Similar events compress so well (about tenfold) that this costs less
 * than writing, checking and syncing the original.
 */
import { zstdDecompressSync } from 'node:zlib'
import type { Compress } from '../../../runtime/compression.ts'
import type { SpoolFrame } from './segment.ts'

const LENGTH_BYTES = 4
/** More is not compressed, and not unpacked: a file on the disk must not choose how much memory the agent takes. */
const MOST_BYTES = 64 << 20
/** Minimum chunk size of node:zlib. */
const LEAST_CHUNK_BYTES = 64
const NOTHING = Buffer.alloc(0)

/** Copies the frame, compressed if that makes it smaller. Never rejects: on failure it is copied uncompressed. */
export async function pack(frame: SpoolFrame, zstd: Compress): Promise<SpoolFrame> {
  const length = frame.parts.reduce((sum, part) => sum + part.length, 0)
  let packed: Buffer | undefined
  try {
    if (length <= MOST_BYTES) packed = await zstd(frame.parts)
  } catch {
    // Treated as not smaller.
  }
  if (packed === undefined || packed.length + LENGTH_BYTES >= length) {
    return { ...frame, parts: [Buffer.concat(frame.parts)] }
  }
  const head = Buffer.allocUnsafe(LENGTH_BYTES)
  head.writeUInt32LE(length)
  return { ...frame, parts: [head, packed], packed: true }
}

/** Unpacked size of a payload. */
export function unpackedBytes(payload: Buffer, packed: boolean): number {
  return packed && payload.length >= LENGTH_BYTES ? payload.readUInt32LE(0) : payload.length
}

/**
 * The original payload; empty, which readers refuse, if it is not from `pack`. Synchronous, because a part of a queue only takes
 * 0.2 ms.
 */
export function unpack(payload: Buffer, packed: boolean): Buffer {
  if (!packed) return payload
  const length = unpackedBytes(payload, packed)
  if (length > MOST_BYTES) return NOTHING
  try {
    const whole = zstdDecompressSync(payload.subarray(LENGTH_BYTES), {
      maxOutputLength: length,
      // One byte more than needed: a full chunk would make zlib allocate another and join them.
      chunkSize: Math.max(LEAST_CHUNK_BYTES, length + 1),
    })
    return whole.length === length ? whole : NOTHING
  } catch {
    return NOTHING
  }
}
