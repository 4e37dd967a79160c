import { release } from 'node:os'
import { version } from '../../config/base/own.ts'
import { libbpfVersion } from '../../native/index.ts'
import type { Command } from './command.ts'
import { folded } from './format.ts'

/** `ktrail version`. It has to work where the addon cannot be loaded too: it is the first thing that a report of an error needs. */
export const versionCommand: Command = async (_given, { print, columns }) => {
  const parts = `ktrail ${version()}, node ${process.version}, libbpf ${loaded()}, kernel ${release()}\n`
  await print(folded(parts, columns))
  return 0
}

function loaded(): string {
  try {
    return libbpfVersion()
  } catch {
    return 'not loaded'
  }
}
