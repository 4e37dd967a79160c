import { promisify } from 'node:util'
import { constants, gzip, zstdCompress } from 'node:zlib'

export type Compression = 'none' | 'gzip' | 'zstd'

const gzipAsync = promisify(gzip)
const zstdAsync = promisify(zstdCompress)
/** Level 1 of both: the next ones cost more than twice for a tenth fewer bytes (export.md §4.6). */
const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** Compresses the chunks as one body, on libuv's threads. */
export async function compress(chunks: readonly Uint8Array[], by: Compression): Promise<readonly Uint8Array[]> {
  switch (by) {
    case 'none':
      return chunks
    case 'gzip':
      // Room for the whole output at once: zlib joins its 16 KiB pieces by copying otherwise.
      return [await gzipAsync(Buffer.concat(chunks), { level: 1, chunkSize: 128 << 10 })]
    case 'zstd':
      return [await zstdAsync(Buffer.concat(chunks), ZSTD)]
  }
}
