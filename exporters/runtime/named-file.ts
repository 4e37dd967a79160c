import { readNamedFile } from '../../config/base/named-file.ts'
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
