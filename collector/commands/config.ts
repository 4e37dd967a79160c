import { printConfig } from '../../config/print.ts'
import { CONFIG_OPTION, readArguments, readConfig, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail config print`. */
export const configCommand: Command = async (args, terminal) => {
  const given = readArguments(args, { ...CONFIG_OPTION, effective: { type: 'boolean' } })
  if (given.positionals.length !== 1 || given.positionals[0] !== 'print')
    throw new UsageError('expected: ktrail config print [--effective] [--config FILE]')
  await terminal.print(
    printConfig(await readConfig(given, terminal), { effective: given.values['effective'] === true }),
  )
  return 0
}
