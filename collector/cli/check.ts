import { checkFile } from '../../config/agent/check.ts'
import { EXIT_CONFIG } from '../../config/yaml/errors.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import { CONFIG_OPTION, readArguments, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail check`. */
export const checkCommand: Command = async (args, terminal) => {
  const { env, print, printError } = terminal
  const given = readArguments(args, { kernel: { type: 'boolean' }, ...CONFIG_OPTION })
  const { values, positionals } = given
  // Loaded when needed: only this needs the addon.
  if (values['kernel'] === true) return (await import('./check-kernel.ts')).checkKernel(given, terminal)
  if (values['config'] !== undefined)
    throw new UsageError('check --config goes with --kernel; a config is checked by: check FILE')
  if (positionals.length === 0) throw new UsageError('check needs at least one file, or --kernel')
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
