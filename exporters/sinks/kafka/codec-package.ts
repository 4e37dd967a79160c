/** `codec: npm:<package>`: compression by a third-party package that exports `compress`. */
import { textOf, ExportError } from '../../contract/errors.ts'
import { importPackage } from '../npm/import.ts'
import type { Compress } from './drivers/codecs.ts'

/** Rejects with ExportError UNUSABLE if the package is not installed or does not export `compress`. */
export async function loadCodec(name: string, configFile: string | undefined): Promise<Compress> {
  const module = await importPackage(`codec: npm:${name}`, name, configFile)
  const compress: unknown = Reflect.get(module, 'compress')
  if (typeof compress !== 'function') {
    const got = compress === undefined ? 'none' : `a ${typeof compress}`
    throw new ExportError('UNUSABLE', `codec: npm:${name}: expected it to export a function compress, got ${got}`)
  }
  return async (records) => {
    const packed: unknown = await callOf(name, () => compress(records))
    if (packed instanceof Uint8Array) return Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength)
    throw new Error(`codec: npm:${name}: expected compress to return a Buffer, got a ${typeof packed}`)
  }
}

async function callOf(name: string, compress: () => unknown): Promise<unknown> {
  try {
    return await compress()
  } catch (cause) {
    throw new Error(`codec: npm:${name}: ${textOf(cause)}`, { cause })
  }
}
