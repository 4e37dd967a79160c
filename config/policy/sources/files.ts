import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { answered } from '../../base/time/answered.ts'
import { inLibrary } from '../../base/paths.ts'
import { errnoOf } from '../../base/unreadable.ts'
import { libraryFiles, libraryHint } from './library.ts'

/** A user who may write a folder must not fill the agent's memory, nor keep it reading. Ten times the largest known set of policies. */
const MOST_FILES = 1_000
const MOST_ENTRIES = 10 * MOST_FILES

/**
 * The policy files at a place of a config: for a folder its *.yaml and *.yml files without hidden ones, sorted by name; for a name of the library
 * those of the library; else the place itself. Rejects when the path cannot be read, holds too many, or its file system does not answer.
 */
export async function policyFilesAt(place: string): Promise<string[]> {
  if (inLibrary(place)) return libraryFiles(place)
  const names = await answered(place, async () => ((await stat(place)).isDirectory() ? namesIn(place) : undefined))
  return names?.toSorted().map((name) => join(place, name)) ?? [place]
}

/**
 * `policyFilesAt` for a command. A place that cannot be read is given back, so that it is reported as a file. An Error for a folder with too many
 * files, for a name that the library lacks, and for one without its prefix.
 */
export async function namedFiles(place: string): Promise<string[] | Error> {
  return policyFilesAt(place).catch(async (error: unknown) => {
    const hint = errnoOf(error) === 'ENOENT' ? await libraryHint(place) : ''
    if (hint !== '') return new Error(`no such file${hint}`)
    if (!(error instanceof Error) || errnoOf(error) !== '') return [place]
    return inLibrary(place) ? error : new Error(`cannot read: ${error.message}`)
  })
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
