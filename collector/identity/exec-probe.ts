/** Whether a process may be an exec probe of its container: its command is that of a probe. */
import { posix } from 'node:path'
import type { Process } from '../../exporters/contract/event.ts'
import { readArguments } from '../wire/text.ts'

/** A probe's command as a process shows it. */
export interface ProbeCommand {
  readonly binary: string
  readonly arguments: string
  /** The arguments of a script, whose interpreter gets its path in front. */
  readonly scriptArguments: string
}

export function probeCommand(command: readonly string[]): ProbeCommand | undefined {
  const [binary] = command
  if (binary === undefined || binary === '') return undefined
  return { binary, arguments: joined(command), scriptArguments: joined([binary, ...command]) }
}

const joined = (words: readonly string[]): string =>
  readArguments(Buffer.from(words.map((word) => `${word}\0`).join(''))).arguments

/** A command without a path is found in PATH, so its last component must be the same. */
export function mayBeProbe({ binary, arguments: args }: Process, probes: readonly ProbeCommand[]): boolean {
  return probes.some((probe) =>
    posix.isAbsolute(probe.binary)
      ? binary === probe.binary && (args === probe.arguments || args === probe.scriptArguments)
      : posix.basename(binary) === posix.basename(probe.binary) && args === probe.arguments,
  )
}
