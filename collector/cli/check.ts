import { checkFile } from '../../config/agent/check.ts'
import { EXIT_CONFIG } from '../../config/yaml/errors.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import { readArguments, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail check`. */
export const checkCommand: Command = async (args, { env, print, printError }) => {
  const { positionals } = readArguments(args, {})
  if (positionals.length === 0) throw new UsageError('check needs at least one file')
  let wrong = 0
  for (const file of positionals) {
    const { problems, warnings, notes } = await checkFile(file, env)
    const marked = (word: string, list: typeof notes): typeof problems =>
      list.map((item) => ({ ...item, message: `${word}: ${item.message}` }))
    const lines = [...problems, ...marked('warning', warnings), ...marked('note', notes)].map(
      (problem) => `${formatProblem(problem)}\n`,
    )
    if (lines.length > 0) await print(lines.join(''))
    wrong += problems.length > 0 ? 1 : 0
  }
  const total = positionals.length
  printError(
    wrong === 0
      ? `${total} file${total === 1 ? '' : 's'} checked, no mistakes`
      : `${wrong} of ${total} files with mistakes`,
  )
  return wrong === 0 ? 0 : EXIT_CONFIG
}
