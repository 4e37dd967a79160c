import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { answered } from '../base/answered.ts'

/** A user who may write a folder must not fill the agent's memory, nor keep it reading. Ten times the largest known set of policies. */
const MOST_FILES = 1_000
const MOST_ENTRIES = 10 * MOST_FILES

/**
 * The policy files at a path of a config: for a folder its *.yaml and *.yml files without hidden ones, sorted by name; else the path itself.
 * Rejects when the path cannot be read, holds too many, or its file system does not answer.
 */
export async function policyFilesAt(place: string): Promise<string[]> {
  const names = await answered(place, async () => ((await stat(place)).isDirectory() ? namesIn(place) : undefined))
  return names?.toSorted().map((name) => join(place, name)) ?? [place]
}

async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = []
  let entries = 0
  for await (const { name } of await opendir(folder)) {
    if (/^[^.].*\.ya?ml$/.test(name)) names.push(name)
    if (names.length > MOST_FILES)
      throw new Error(`it has more than ${MOST_FILES} policies: split them into several folders`)
    if (++entries > MOST_ENTRIES) throw new Error(`it has more than ${MOST_ENTRIES} files: keep only policies in it`)
  }
  return names
}
