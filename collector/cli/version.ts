import { release } from 'node:os'
import { version } from '../../config/base/own.ts'
import { UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail version`. */
export const versionCommand: Command = async ({ positionals }, { print }) => {
  const [extra] = positionals
  if (extra !== undefined) throw new UsageError(`version takes no arguments, got "${extra}"`)
  await print(`ktrail ${version()}, node ${process.version}, kernel ${release()}\n`)
  return 0
}
