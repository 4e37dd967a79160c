/** `ktrail watch`: prints who accesses files, by a policy that lives as long as the command. */
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { UsageError } from '../command.ts'
import type { Command, Terminal } from '../command.ts'
import { Printer } from '../events/printer.ts'
import { Printing } from '../events/printing.ts'
import { WatchLines } from './lines.ts'
import { ACCESSES, policyText } from './policy.ts'
import type { Watched } from './policy.ts'
import { watchThrough } from './through.ts'

export const watchCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('watch requires at least one file or folder')
  const watched = await Promise.all(given.positionals.map((each) => watchedAt(path.resolve(each), terminal)))
  const asked = ACCESSES.filter((access) => given.flag(access))
  const printing = new Printing(given.text('output') === 'json' ? new Printer(undefined) : new WatchLines(), terminal)
  const names = watched.map((each) => each.path).join(' ')
  const watch = {
    policy: (byName: boolean) => policyText(watched, asked.length === 0 ? ACCESSES : asked, byName, true),
    limited: given.flag('by-name'),
    lacks: 'not by identity, so hard links and other mounts stay unseen',
    opened: (byName: boolean): void =>
      terminal.printError(`ktrail: watching ${names}${byName ? ' by name' : ''}; Ctrl-C ends`),
    events: printing.all.bind(printing),
    signals: ['SIGINT', 'SIGTERM'],
  } as const
  await watchThrough(watch, given, terminal)
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
