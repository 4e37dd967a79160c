/** Compression of record batches: gzip and zstd from Node; others are plugged in. */
import { gzip, zstdCompressSync, constants } from 'node:zlib'
import { promisify } from 'node:util'
import { ExportError } from '../../errors.ts'
import type { CompressionName } from '../options.ts'

/** Compresses the records of one batch, whole. Must not keep or change the input. */
export type Compress = (records: Buffer) => Buffer | Promise<Buffer>

/** Kafka's numbers, in the attributes of a batch. */
export const CODEC_IDS: Readonly<Record<CompressionName, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

const gzipAsync = promisify(gzip)
// The cheapest levels: a host agent's processor time is worth more than the last tenth of the size.
const GZIP_LEVEL = 1
const ZSTD_LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

const codecs = new Map<CompressionName, Compress>([
  // In the thread pool: 2 ms for a full batch would be felt by the ring reader.
  ['gzip', (records) => gzipAsync(records, { level: GZIP_LEVEL })],
  ['zstd', (records) => zstdCompressSync(records, ZSTD_LEVEL)],
])

/** Makes a codec known to both drivers, for instance lz4 from a package. Call before the exporter starts. */
export function registerCodec(name: Exclude<CompressionName, 'none'>, compress: Compress): void {
  codecs.set(name, compress)
}

/** The codec, undefined for none. Throws ExportError for one that nobody has plugged in. */
export function codecOf(name: CompressionName): Compress | undefined {
  if (name === 'none') return undefined
  const found = codecs.get(name)
  if (found !== undefined) return found
  const message = `compression: expected none, gzip, zstd or a codec that was registered, got "${name}"; see registerCodec`
  throw new ExportError('UNUSABLE', message)
}
