/** Compression of record batches: gzip, zstd, or a package (config `codec`). */
import { nodeCompressors } from '../../../runtime/compression.ts'
import type { Compressors } from '../../../runtime/compression.ts'
import { ExportError } from '../../../contract/errors.ts'
import type { KafkaConfig } from '../connection.ts'

/** Compresses the records of one batch. Must not keep or change the input. */
export type Compress = (records: Buffer) => Buffer | Promise<Buffer>

/** Kafka's numbers in a batch's attributes. */
export const CODEC_IDS: Readonly<Record<KafkaConfig['compression'], number>> = {
  none: 0,
  gzip: 1,
  snappy: 2,
  lz4: 3,
  zstd: 4,
}

/** The codec, undefined for none; `plugged` comes from the config. Throws ExportError for an unknown one. */
export function codecOf(
  name: KafkaConfig['compression'],
  compressors: Compressors = nodeCompressors,
  plugged?: Compress,
): Compress | undefined {
  if (name === 'none') return undefined
  if (name === 'gzip' || name === 'zstd') return (records) => compressors[name]([records])
  if (plugged !== undefined) return plugged
  throw new ExportError('UNUSABLE', `compression: expected none, gzip or zstd, or a codec with it, got "${name}"`)
}
