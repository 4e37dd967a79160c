/**
 * Compression of whole bodies, level 1 throughout: the next ones cost more than twice for a tenth fewer bytes.
 * The agent brings faster ones along (native/index.ts); those of node:zlib serve where nothing is brought.
 */
import { promisify } from 'node:util'
import { constants, gzip, zstdCompress } from 'node:zlib'

export type Compression = 'none' | 'gzip' | 'zstd'

/** The chunks as one compressed body, made on other threads. They must stay as they are until it settles. */
export type Compress = (chunks: readonly Uint8Array[]) => Promise<Buffer>

export type Compressors = Readonly<Record<Exclude<Compression, 'none'>, Compress>>

const LEVEL = 1
const gzipAsync = promisify(gzip)
const zstdAsync = promisify(zstdCompress)

export const nodeCompressors: Compressors = {
  gzip: (chunks) => gzipAsync(Buffer.concat(chunks), { level: LEVEL }),
  zstd: (chunks) => {
    const body = Buffer.concat(chunks)
    // Known beforehand, small bodies take small tables.
    return zstdAsync(body, {
      params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
      pledgedSrcSize: body.length,
    })
  },
}
