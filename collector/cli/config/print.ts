import { effectiveConfig } from '../../../config/agent/effective.ts'
import { printConfig } from '../../../config/agent/print.ts'
import type { Command } from '../command.ts'
import { readConfig } from '../config-file.ts'

/** `ktrail config print`. */
export const configPrintCommand: Command = async (given, terminal) => {
  const loaded = await readConfig(given, terminal)
  if (given.flag('effective')) {
    const { config, sources, warnings } = effectiveConfig(loaded.config, terminal.env)
    for (const warning of warnings) terminal.printError(warning)
    await terminal.print(printConfig(loaded, { effective: true, config, sources }))
  } else {
    await terminal.print(printConfig(loaded))
  }
  return 0
}
