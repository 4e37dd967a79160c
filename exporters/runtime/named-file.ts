import { readNamedFile } from '../../config/yaml/named-file.ts'
import { whyUnreadable } from '../../config/yaml/unreadable.ts'
import { ExportError } from '../contract/errors.ts'

/** The content of a file that `key` names. Rejects with ExportError UNUSABLE when it cannot be read whole or has more than `maxBytes`. */
export async function contentOf(key: string, path: string, maxBytes: number): Promise<Buffer> {
  try {
    return await readNamedFile(path, maxBytes)
  } catch (error) {
    throw new ExportError('UNUSABLE', `${key}: cannot read "${path}": ${whyUnreadable(error)}`, error)
  }
}
