/** Each exporter must have its own files: two exporters that rotate one file would delete each other's events. */
import { resolve } from 'node:path'

interface Writes {
  readonly type: string
  readonly path?: unknown
  readonly dead_letter?: { readonly path: string } | undefined
}

/** A file of an exporter, by the path of its key below `exporters`. */
type OwnFile = readonly [file: string, key: string[]]

/** The keys of files that an earlier exporter uses. */
export function* sharedFiles(
  exporters: Readonly<Record<string, Writes>>,
): Generator<{ readonly path: string[]; readonly message: string }> {
  const owners = new Map<string, string>()
  const files = Object.entries(exporters).flatMap((exporter) => [...filesOf(exporter)])
  for (const [file, path] of files) {
    const owner = owners.get(file)
    if (owner === undefined) owners.set(file, path.join('.'))
    else yield { path, message: `expected a file that no other exporter writes (exporters.${owner} does)` }
  }
}

function* filesOf([name, { type, path, dead_letter: letters }]: [string, Writes]): Generator<OwnFile> {
  if (type === 'file' && typeof path === 'string') yield [resolve(path), [name, 'path']]
  if (letters !== undefined) yield [resolve(letters.path), [name, 'dead_letter', 'path']]
}
