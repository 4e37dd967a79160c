import { release } from 'node:os'
import { version } from '../../config/base/own.ts'
import type { Command } from './command.ts'

/** `ktrail version`. */
export const versionCommand: Command = async (_given, { print }) => {
  await print(`ktrail ${version()}, node ${process.version}, kernel ${release()}\n`)
  return 0
}
