import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { answered } from '../yaml/answered.ts'

/**
 * The policy files at a path of a config: for a folder its *.yaml and *.yml files without hidden ones, sorted by name; else the path itself.
 * Rejects when the path cannot be read or its file system does not answer.
 */
export async function policyFilesAt(place: string): Promise<string[]> {
  const names = await answered(place, async () => ((await stat(place)).isDirectory() ? readdir(place) : undefined))
  if (names === undefined) return [place]
  return names
    .filter((name) => /^[^.].*\.ya?ml$/.test(name))
    .toSorted()
    .map((name) => join(place, name))
}
