import { release } from 'node:os'
import { version } from '../version.ts'
import type { Command } from './command.ts'

/** `ktrail version`. */
export const versionCommand: Command = async (_args, { print }) => {
  await print(`ktrail ${version()}, node ${process.version}, kernel ${release()}\n`)
  return 0
}
