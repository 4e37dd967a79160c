/** Compression of record batches: gzip, zstd, or a package of the config (`codec: npm:<package>`) that exports `compress`. */
import { packageOf } from '../../../../config/agent/exporters/npm.ts'
import { ExportError, textOf } from '../../../contract/errors.ts'
import { nodeCompressors } from '../../../runtime/compression.ts'
import type { Compressors } from '../../../runtime/compression.ts'
import { importPackage } from '../../npm/import.ts'
import type { KafkaConfig } from './connection.ts'

export interface Codec {
  /** Its number in a batch's attributes. */
  readonly id: number
  /** Compresses the records of one batch; undefined for none. Must not keep or change the input. */
  readonly compress: ((records: Buffer) => Buffer | Promise<Buffer>) | undefined
}

const IDS: Readonly<Record<KafkaConfig['compression'], number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

/** Rejects with ExportError UNUSABLE without a package for `snappy` or `lz4`, or if it is not installed or does not export `compress`. */
export async function codecOf(
  { compression, codec }: Pick<KafkaConfig, 'compression' | 'codec'>,
  configFile?: string,
  compressors: Compressors = nodeCompressors,
): Promise<Codec> {
  const id = IDS[compression]
  if (compression === 'none') return { id, compress: undefined }
  if (compression === 'gzip' || compression === 'zstd') {
    return { id, compress: (records) => compressors[compression]([records]) }
  }
  if (codec !== undefined) return { id, compress: await compressOf(packageOf(codec), configFile) }
  throw new ExportError(
    'UNUSABLE',
    `compression: expected none, gzip or zstd, or a codec with it, got "${compression}"`,
  )
}

async function compressOf(name: string, configFile: string | undefined): Promise<Codec['compress']> {
  const module = await importPackage(`codec: npm:${name}`, name, configFile)
  const compress: unknown = Reflect.get(module, 'compress')
  if (typeof compress !== 'function') {
    const got = compress === undefined ? 'none' : `a ${typeof compress}`
    throw new ExportError('UNUSABLE', `codec: npm:${name}: expected it to export a function compress, got ${got}`)
  }
  return async (records) => {
    let packed: unknown
    try {
      packed = await compress(records)
    } catch (cause) {
      throw new Error(`codec: npm:${name}: ${textOf(cause)}`, { cause })
    }
    if (packed instanceof Uint8Array) return Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength)
    throw new Error(`codec: npm:${name}: expected compress to return a Buffer, got a ${typeof packed}`)
  }
}
