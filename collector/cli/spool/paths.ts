/** The spools that a command works on: spools of the config's exporters, or given folders. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { didYouMean } from '../../../config/yaml/suggest.ts'
import { spoolFolder } from '../../../config/agent/exporters/spool.ts'
import type { Config } from '../../../config/agent/schema.ts'
import { configFile, readConfig, UsageError } from '../command.ts'
import type { Arguments, Terminal } from '../command.ts'

export interface Place {
  /** The exporter, or the given folder. */
  readonly name: string
  readonly dir: string
  /** `orphan`: a spool in the config's spool folder without an exporter of that name; `folder`: given on the command line. */
  readonly kind: 'exporter' | 'orphan' | 'folder'
}

type ReadsConfig = Pick<Terminal, 'env'>

/**
 * Spools by exporter name or folder (`.`, or a path with a slash), as the command line names them; the config is read when a name
 * needs it. Throws UsageError for a name without a spool, ConfigError.
 */
export async function pathsOf(given: Arguments, terminal: ReadsConfig): Promise<readonly Place[]> {
  const paths: Place[] = []
  for (const word of given.positionals) {
    if (word.includes('/') || word === '.' || word === '..') {
      paths.push({ name: word, dir: path.resolve(word), kind: 'folder' })
    } else paths.push(placeOf(word, (await readConfig(given, terminal)).config, configFile(given)))
  }
  return paths
}

/** `pathsOf`; all spools of the config if no name is given. */
export async function pathsOrAll(given: Arguments, terminal: ReadsConfig): Promise<readonly Place[]> {
  if (given.positionals.length > 0) return pathsOf(given, terminal)
  return configuredPaths((await readConfig(given, terminal)).config)
}

/** The spools of all exporters, also of exporters that were removed or renamed. */
async function configuredPaths(config: Config): Promise<readonly Place[]> {
  const paths = Object.keys(config.exporters).flatMap((name) => placeIn(config, name) ?? [])
  const known = new Set(paths.map(({ dir }) => dir))
  const orphans: Place[] = []
  for (const parent of new Set(paths.map(({ dir }) => path.dirname(dir)))) {
    const entries = await readdir(parent, { withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const dir = path.join(parent, entry.name)
      if (entry.isDirectory() && !known.has(dir) && (await isSpool(dir)))
        orphans.push({ name: entry.name, dir, kind: 'orphan' })
    }
  }
  return [...paths, ...orphans.toSorted((a, b) => (a.dir < b.dir ? -1 : 1))]
}

function placeOf(name: string, config: Config, file: string): Place {
  const place = placeIn(config, name)
  if (place !== undefined) return place
  if (Object.hasOwn(config.exporters, name))
    throw new UsageError(`exporter "${name}" of ${file} has no spool; a folder needs a slash, such as ./${name}`)
  const names = Object.keys(config.exporters)
  throw new UsageError(
    `no exporter "${name}" in ${file}${didYouMean(name, names)}; a folder needs a slash, such as ./${name}`,
  )
}

function placeIn({ exporters }: Config, name: string): Place | undefined {
  const spool = Object.hasOwn(exporters, name) ? exporters[name]?.spool : undefined
  return spool && { name, dir: path.resolve(spoolFolder(name, spool)), kind: 'exporter' }
}

async function isSpool(dir: string): Promise<boolean> {
  const names = await readdir(dir).catch(() => [])
  return names.some((name) => name === 'cursor' || /^\d{8,10}\.seg$/.test(name))
}
