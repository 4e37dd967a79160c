import { release } from 'node:os'
import { version } from '../../config/version.ts'
import { readArguments, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail version`. */
export const versionCommand: Command = async (args, { print }) => {
  const [extra] = readArguments(args, {}).positionals
  if (extra !== undefined) throw new UsageError(`version takes no arguments, got "${extra}"`)
  await print(`ktrail ${version()}, node ${process.version}, kernel ${release()}\n`)
  return 0
}
