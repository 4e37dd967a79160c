/** The spools that a command works on: spools of the config's exporters, or given folders. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { didYouMean } from '../../../config/yaml/suggest.ts'
import { spoolFolder } from '../../../config/agent/exporters/spool.ts'
import type { Config } from '../../../config/agent/schema.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Terminal } from '../command.ts'
import { readConfig } from '../config-file.ts'

export interface Place {
  /** The exporter, or the given folder. */
  readonly name: string
  readonly dir: string
  /** `orphan`: a spool in the config's spool folder without an exporter of that name; `folder`: given on the command line. */
  readonly kind: 'exporter' | 'orphan' | 'folder'
}

/**
 * A spool by exporter name or folder (`.`, or a path with a slash), as the command line names it; the config is read if a name needs it. Throws
 * UsageError for a name without a spool, ConfigError.
 */
export async function placeOf(word: string, given: Arguments, terminal: Terminal): Promise<Place> {
  if (word.includes('/') || word === '.' || word === '..')
    return { name: word, dir: path.resolve(word), kind: 'folder' }
  const { config, file } = await readConfig(given, terminal)
  return configuredPlace(word, config, file)
}

/** All spools of the command line; those of the config if it names none. Reports a config without spools. */
export async function placesOf(given: Arguments, terminal: Terminal): Promise<readonly Place[]> {
  const places: Place[] = []
  if (given.positionals.length === 0) {
    const { config, file } = await readConfig(given, terminal)
    places.push(...(await configuredPlaces(config)))
    if (places.length === 0) terminal.printError(`no exporter of ${file} has a spool`)
  }
  for (const word of given.positionals) places.push(await placeOf(word, given, terminal))
  return places
}

/** The spools of all exporters, also of exporters that were removed or renamed. */
async function configuredPlaces(config: Config): Promise<readonly Place[]> {
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

function configuredPlace(name: string, config: Config, file: string): Place {
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
