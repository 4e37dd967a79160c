/** ktrail's own files and version. */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'

/** The folder of ktrail's own files: the top of a checkout, `dist` of an installed ktrail. Not relative to this file, which may be part of a bundle. */
export const HOME = dirname(findPackageJSON(import.meta.url) ?? '')

/** The path of one of these files, such as `config/ktrail.yaml`. */
export const ownFile = (path: string): string => join(HOME, path)

export function version(): string {
  const parsed: unknown = JSON.parse(readFileSync(ownFile('package.json'), 'utf8'))
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed ? String(parsed.version) : 'unknown'
}
