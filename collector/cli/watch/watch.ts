/** `ktrail watch`: prints who accesses files, by a policy that lives as long as the command. */
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { ClientError } from '../../api/client.ts'
import { Watches } from '../../proto/ktrail/watches_pb.js'
import { UsageError } from '../command.ts'
import type { Arguments, Command, Terminal } from '../command.ts'
import { Printer } from '../events/printer.ts'
import { Printing } from '../events/printing.ts'
import { clientOf } from '../server.ts'
import { WatchLines } from './lines.ts'
import { ACCESSES, policyText } from './policy.ts'
import type { Watched } from './policy.ts'

export const watchCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('watch requires at least one file or folder')
  const watched = await Promise.all(given.positionals.map((each) => watchedAt(path.resolve(each), terminal)))
  const run = (): Promise<void> => watch(watched, given, terminal)
  try {
    await run()
  } catch (error) {
    if (!(error instanceof ClientError && error.noAgent) || given.text('server') !== undefined) throw error
    terminal.printError('ktrail: no agent runs here: starting one for this command')
    const { withOwnAgent } = await import('./own-agent.ts')
    await withOwnAgent(run)
  }
  return 0
}

async function watchedAt(file: string, { printError }: Terminal): Promise<Watched> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw new Error(`cannot watch ${file}: ${error.message}`)
    printError(`ktrail: ${file} does not exist: watched from its creation on`)
    return undefined
  })
  return { path: file, isFolder: found?.isDirectory() === true }
}

/** Watches by identity, or by name where the kernel or the user wants it. */
async function watch(watched: readonly Watched[], given: Arguments, terminal: Terminal): Promise<void> {
  using client = await clientOf(given)
  const asked = ACCESSES.filter((access) => given.flag(access))
  const accesses = asked.length === 0 ? ACCESSES : asked
  const printing = new Printing(given.text('output') === 'json' ? new Printer(undefined) : new WatchLines(), terminal)
  const names = watched.map((each) => each.path).join(' ')
  const attempt = async (byName: boolean): Promise<void> => {
    const opened = (): void => terminal.printError(`ktrail: watching ${names}${byName ? ' by name' : ''}; Ctrl-C ends`)
    const yaml = await policyText(watched, accesses, byName)
    await printing.all(client.stream(Watches.method.watch, { yaml }, opened))
  }
  const byName = given.flag('by-name')
  try {
    await attempt(byName)
  } catch (error) {
    if (byName || !(error instanceof ClientError) || error.code !== 'FAILED_PRECONDITION') throw error
    terminal.printError(`ktrail: not by identity, so hard links and other mounts stay unseen: ${error.message}`)
    await attempt(true)
  }
}
