/** Files with secrets that a config names, and which of them everybody on the host may read. */
import { stat } from 'node:fs/promises'
import type { LoadedConfig } from './load.ts'
import type { Problem } from '../yaml/problems.ts'

const READ_BY_OTHERS = 0o004

/** A warning for each such file that everybody may read; none for one that cannot be looked at. Never throws. */
export async function openSecrets({ secretFiles }: LoadedConfig, file: string): Promise<Problem[]> {
  const warnings: Problem[] = []
  for (const [path, { key, at }] of secretFiles) {
    const mode = (await stat(path).catch(() => undefined))?.mode ?? 0
    if ((mode & READ_BY_OTHERS) === 0) continue
    const octal = (mode & 0o7777).toString(8).padStart(4, '0')
    const name = JSON.stringify(path)
    const message = `${key}: ${name} holds a secret and everybody on this host may read it (mode ${octal}): chmod o-rwx ${name}`
    warnings.push({ file, ...at, message })
  }
  return warnings
}
