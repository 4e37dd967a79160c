import { promisify } from 'node:util'
import { constants, gzip, zstdCompress } from 'node:zlib'

export type Compression = 'none' | 'gzip' | 'zstd'

const gzipAsync = promisify(gzip)
const zstdAsync = promisify(zstdCompress)
/** Level 1 of both: the next ones cost more than twice for a tenth fewer bytes (export.md §4.6). */
const LEVEL = 1
/** Room for the output of most batches at once; with zlib's 16 KiB it would be put together by copying. */
const CHUNK_BYTES = 64 << 10
/** As many as libuv has threads: more cannot be compressed at a time. */
const MAX_IDLE = 4
/** A buffer that once held a huge batch is given back above this size. */
const KEEP_BYTES = 4 << 20
/** Sizes of buffers are multiples of this, so that batches of about a size fit into each other's. */
const GRAIN_BYTES = 256 << 10

/**
 * Compresses bodies on libuv's threads, several at a time if need be. They are put together in buffers that are used again:
 * new ones of this size cost page faults and garbage collections that took as long as the compression (measured).
 */
export class Compressor {
  readonly #by: Compression
  readonly #idle: Buffer[] = []

  constructor(by: Compression) {
    this.#by = by
  }

  /** The chunks as one body; the chunks themselves where nothing is compressed. They are not read after it settles. */
  async compress(chunks: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    if (this.#by === 'none') return chunks
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    const room = this.#room(length)
    let at = 0
    for (const chunk of chunks) {
      room.set(chunk, at)
      at += chunk.length
    }
    const body = room.subarray(0, length)
    try {
      return [await (this.#by === 'gzip' ? gzipAsync(body, { level: LEVEL, chunkSize: CHUNK_BYTES }) : zstd(body))]
    } finally {
      if (this.#idle.length < MAX_IDLE && room.length <= KEEP_BYTES) this.#idle.push(room)
    }
  }

  #room(length: number): Buffer {
    const idle = this.#idle.pop()
    if (idle !== undefined && idle.length >= length) return idle
    return Buffer.allocUnsafeSlow(Math.ceil(length / GRAIN_BYTES) * GRAIN_BYTES)
  }
}

function zstd(body: Buffer): Promise<Buffer> {
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL }
  // Known beforehand, small bodies take small tables.
  return zstdAsync(body, { params, pledgedSrcSize: body.length, chunkSize: CHUNK_BYTES })
}
