/** Whether lines could be written to a file, without opening or creating it. */
import { access, constants } from 'node:fs/promises'
import { dirname } from 'node:path'
import { answered } from '../../../config/base/time/answered.ts'
import { counted } from '../../../config/base/counts.ts'
import { ExportError } from '../../contract/errors.ts'
import { failure } from './failure.ts'
import { systemFiles } from './file-system.ts'
import { exists } from './names.ts'

/** Only the last component of its folder may be missing, as for the exporter itself. Rejects with ExportError. */
export function probeFile(path: string): Promise<string> {
  return answered(path, async () => {
    try {
      return await look(path)
    } catch (cause) {
      throw failure('write to', path, cause, 'try again')
    }
  })
}

async function look(path: string): Promise<string> {
  const folder = dirname(path)
  const isThere = await exists(systemFiles, folder)
  const place = isThere ? folder : dirname(folder)
  // The slash refuses everything but folders.
  await access(`${place}/`, constants.W_OK | constants.X_OK)
  const file = isThere && (await exists(systemFiles, path))
  if (file) {
    if (!(await systemFiles.lstat(path)).isFile()) {
      const message = `cannot write to "${path}": expected a regular file, got something else; choose another path`
      throw new ExportError('UNUSABLE', message)
    }
    await access(path, constants.W_OK)
  }
  const { bytes } = await systemFiles.free(place)
  if (bytes === 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
  const state = isThere ? (file ? 'writable' : 'can be created') : 'can be created with its folder'
  return `${path}: ${state}, ${mib(bytes)} free`
}

export const mib = (bytes: number): string => `${counted(Math.floor(bytes / (1 << 20)))} MiB`
