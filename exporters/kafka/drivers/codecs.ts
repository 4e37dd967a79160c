/** Compression of record batches: gzip and zstd; others are plugged in. */
import { nodeCompressors } from '../../compression.ts'
import type { Compressors } from '../../compression.ts'
import { ExportError } from '../../errors.ts'
import type { CompressionName } from '../options.ts'

/** Compresses the records of one batch, whole. Must not keep or change the input. */
export type Compress = (records: Buffer) => Buffer | Promise<Buffer>

/** Kafka's numbers, in the attributes of a batch. */
export const CODEC_IDS: Readonly<Record<CompressionName, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

const plugged = new Map<CompressionName, Compress>()

/** Makes a codec known to both drivers, for instance lz4 from a package. Call before the exporter starts. */
export function registerCodec(name: Exclude<CompressionName, 'none'>, compress: Compress): void {
  plugged.set(name, compress)
}

/** The codec, undefined for none. Throws ExportError for one that nobody has plugged in. */
export function codecOf(name: CompressionName, compressors: Compressors = nodeCompressors): Compress | undefined {
  if (name === 'none') return undefined
  const found = plugged.get(name)
  if (found !== undefined) return found
  if (name === 'gzip' || name === 'zstd') return (records) => compressors[name]([records])
  const message = `compression: expected none, gzip, zstd or a codec that was registered, got "${name}"; see registerCodec`
  throw new ExportError('UNUSABLE', message)
}
