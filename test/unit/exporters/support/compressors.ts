import { zstdCompressSync } from 'node:zlib'
import type { Compress } from '../../../../exporters/runtime/compression.ts'

/** On this thread, so that a test with its own clock need not wait for another. */
export const zstdAtOnce: Compress = (chunks) => Promise.resolve(zstdCompressSync(Buffer.concat(chunks)))
