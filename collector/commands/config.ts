import { printConfig } from '../../config/print.ts'
import { inForce } from '../outputs/in-force.ts'
import { CONFIG_OPTION, readArguments, readConfig, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail config print`. */
export const configPrintCommand: Command = async (args, terminal) => {
  const given = readArguments(args, { ...CONFIG_OPTION, effective: { type: 'boolean' } })
  const [extra] = given.positionals
  if (extra !== undefined) throw new UsageError(`config print takes no file, got "${extra}": use --config FILE`)
  const loaded = await readConfig(given, terminal)
  if (given.values['effective'] === true) {
    const { config, sources } = inForce(loaded.config, terminal.env)
    await terminal.print(printConfig({ ...loaded, config }, { effective: true, sources }))
  } else {
    await terminal.print(printConfig(loaded))
  }
  return 0
}
