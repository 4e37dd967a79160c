/** `ktrail watch`: prints who accesses files, by a policy that lives as long as the command. */
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import { UsageError } from '../command.ts'
import type { Command, Terminal } from '../command.ts'
import { asJson, printEvents } from '../events/printer.ts'
import { watchLine } from './lines.ts'
import { ACCESSES, policyText } from './policy.ts'
import type { Watched } from './policy.ts'
import { watchThrough } from './through.ts'
import { hostRoot } from '../../kernel/files/resolve.ts'

export const watchCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('watch requires at least one file or folder')
  const watched = await Promise.all(
    given.positionals.map((each) => watchedAt(path.resolve(each), given.flag('by-name'), terminal)),
  )
  const asked = ACCESSES.filter((access) => given.flag(access))
  const lineOf = given.text('format') === 'json' ? asJson : watchLine
  const names = watched.map((each) => each.path).join(' ')
  const watch = {
    policy: (byName: boolean) => policyText(watched, asked.length === 0 ? ACCESSES : asked, byName, true),
    limited: given.flag('by-name'),
    lacks: 'not by identity, so hard links and other mounts stay unseen',
    opened: (byName: boolean): void =>
      terminal.printError(`ktrail: watching ${names}${byName ? ' by name' : ''}; Ctrl-C ends`),
    events: (messages: AsyncIterable<GetEventsResponse>) => printEvents(messages, lineOf, terminal),
    signals: ['SIGINT', 'SIGTERM'],
    changesAgent: true,
  } as const
  await watchThrough(watch, given, terminal)
  return 0
}

/** By identity, the agent finds a path where pid 1 does: a private mount namespace may have another file there. */
async function watchedAt(file: string, byName: boolean, { printError }: Terminal): Promise<Watched> {
  const root = byName ? '' : hostRoot('/proc')
  const found = await statAt(root + file, file)
  if (root !== '') {
    const own = await statAt(file, file)
    if (own?.ino !== found?.ino || own?.dev !== found?.dev) {
      const next = 'to watch the one of this mount namespace, add --by-name'
      printError(`ktrail: ${file} of the host is watched, which is another file than ${file} here; ${next}`)
    }
  }
  if (found === undefined) printError(`ktrail: ${file} does not exist: watched from its creation on`)
  return { path: file, isFolder: found?.isDirectory() === true }
}

function statAt(at: string, file: string): Promise<Stats | undefined> {
  return stat(at).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new Error(`cannot watch ${file}: ${error.message}`)
  })
}
