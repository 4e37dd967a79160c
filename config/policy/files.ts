import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { answered } from '../yaml/answered.ts'

/**
 * The policy files of a place that a config names: of a folder *.yaml and *.yml directly in it, hidden ones left out, in the order of
 * their names; else the place itself. Rejects when it can not be looked at or its file system does not answer.
 */
export async function policyFilesAt(place: string): Promise<string[]> {
  const names = await answered(place, async () => ((await stat(place)).isDirectory() ? readdir(place) : undefined))
  if (names === undefined) return [place]
  return names
    .filter((name) => /^[^.].*\.ya?ml$/.test(name))
    .toSorted()
    .map((name) => join(place, name))
}
