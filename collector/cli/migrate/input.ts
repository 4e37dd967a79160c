/** The files that `ktrail migrate` reads. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { readTextFile, readTextInput, STDIN } from '../../../config/yaml/files.ts'
import type { TextResult } from '../../../config/yaml/files.ts'
import { linesOf } from '../check/lines.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Terminal } from '../command.ts'

export interface Input {
  readonly file: string
  readonly text: string
}

/** A folder of Tetragon's drop-in files has a file for each setting. */
const MOST_SETTINGS = 500

/** The texts of all arguments; an exit code if one cannot be read, which is reported. Rejects with UsageError without arguments. */
export async function readInputs(
  of: string,
  { positionals }: Arguments,
  { print }: Terminal,
): Promise<Input[] | number> {
  if (positionals.length === 0) throw new UsageError(`migrate ${of} requires a file, or - for standard input`)
  const inputs: Input[] = []
  for (const file of positionals) {
    const read = file === STDIN ? await readTextInput(process.stdin) : await readPlace(file)
    if ('problems' in read) {
      await print(linesOf({ problems: read.problems, warnings: [], notes: [] }))
      return EXIT_CONFIG
    }
    inputs.push({ file, text: read.text })
  }
  return inputs
}

/** A folder as a mapping of the names of its files to their contents. */
async function readPlace(place: string): Promise<TextResult> {
  const names = await readdir(place).catch(() => undefined)
  if (names === undefined) return readTextFile(place)
  const settings: Record<string, string> = {}
  for (const name of names.toSorted().slice(0, MOST_SETTINGS)) {
    const read = await readTextFile(join(place, name))
    if ('problems' in read) return read
    settings[name] = read.text.trim()
  }
  return { text: JSON.stringify(settings) }
}
