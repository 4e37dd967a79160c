/** The files that `ktrail migrate` reads. */
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { readTextFile, readTextInput, STDIN } from '../../../config/yaml/files.ts'
import { linesOf } from '../check/lines.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Terminal } from '../command.ts'

export interface Input {
  readonly file: string
  readonly text: string
}

/** The texts of all arguments; an exit code if one cannot be read, which is reported. Rejects with UsageError without arguments. */
export async function readInputs(
  of: string,
  { positionals }: Arguments,
  { print }: Terminal,
): Promise<Input[] | number> {
  if (positionals.length === 0) throw new UsageError(`migrate ${of} requires a file, or - for standard input`)
  const inputs: Input[] = []
  for (const file of positionals) {
    const read = file === STDIN ? await readTextInput(process.stdin) : await readTextFile(file)
    if ('problems' in read) {
      await print(linesOf({ problems: read.problems, warnings: [], notes: [] }))
      return EXIT_CONFIG
    }
    inputs.push({ file, text: read.text })
  }
  return inputs
}
