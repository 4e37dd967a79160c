import { MAX_SECRET_BYTES, readNamedFile } from '../../config/base/named-file.ts'
import { whyUnreadable } from '../../config/base/unreadable.ts'
import { ExportError } from '../contract/errors.ts'

/** The content of the file of config key `key`. Rejects with ExportError UNUSABLE if it is unreadable or larger than `maxBytes`. */
export async function contentOf(key: string, path: string, maxBytes: number): Promise<Buffer> {
  try {
    return await readNamedFile(path, maxBytes)
  } catch (error) {
    throw new ExportError('UNUSABLE', `${key}: cannot read "${path}": ${whyUnreadable(error)}`, error)
  }
}

/** The secret in the file of config key `key`, without a last line end. Rejects like `contentOf`. */
export async function secretOf(key: string, path: string, encoding: 'utf8' | 'latin1'): Promise<string> {
  const content = await contentOf(key, path, MAX_SECRET_BYTES)
  return content.toString(encoding).replace(/\r?\n$/, '')
}
