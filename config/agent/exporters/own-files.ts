/** Each exporter must have its own files: two exporters that rotate one file would delete each other's events. */
import { resolve } from 'node:path'

interface Writes {
  readonly type: string
  readonly path?: unknown
  readonly dead_letter?: { readonly path: string } | undefined
}

/** A file that an earlier exporter uses. */
export interface SharedFile {
  /** The path of its key, below `exporters`. */
  readonly path: readonly string[]
  readonly message: string
}

/** Files that are used twice. */
export function sharedFiles(exporters: Readonly<Record<string, Writes>>): SharedFile[] {
  const owners = new Map<string, string>()
  const shared: SharedFile[] = []
  for (const path of Object.entries(exporters).flatMap(namedFiles)) {
    const file = resolve(path.file)
    const owner = owners.get(file)
    if (owner === undefined) owners.set(file, path.keys.join('.'))
    else
      shared.push({
        path: path.keys,
        message: `expected a file that no other exporter writes (exporters.${owner} does)`,
      })
  }
  return shared
}

function namedFiles([name, exporter]: [string, Writes]): Array<{ readonly keys: string[]; readonly file: string }> {
  const named = []
  if (exporter.type === 'file' && typeof exporter.path === 'string') {
    named.push({ keys: [name, 'path'], file: exporter.path })
  }
  const letters = exporter.dead_letter
  if (letters !== undefined) named.push({ keys: [name, 'dead_letter', 'path'], file: letters.path })
  return named
}
