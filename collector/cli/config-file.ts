/** The config that a command reads, chosen in one order for all commands. */
import { readlink, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { LoadedConfig } from '../../config/agent/load.ts'
import { ownFile } from '../../config/base/own.ts'
import { errnoOf } from '../../config/base/unreadable.ts'
import { SOCKET } from '../host/sockets/listening.ts'
import type { Arguments, Terminal } from './command.ts'
import { readStatus } from './status/page.ts'

/** Where the packages install the config. */
const INSTALLED = '/etc/ktrail/ktrail.yaml'
/** Time limit of the running agent's answer. */
const ANSWER_MS = 1_000

type Surroundings = Pick<Terminal, 'env' | 'printError'>

/** The config file that the user names: `--config`, else KTRAIL_CONFIG. */
export function namedConfig(given: Arguments, { env }: Pick<Terminal, 'env'>): string | undefined {
  return given.text('config') ?? (env['KTRAIL_CONFIG'] === '' ? undefined : env['KTRAIL_CONFIG'])
}

/** The named config file, else that of the running agent (`asks`), else the installed one, else the one shipped with ktrail. */
export async function configFile(given: Arguments, terminal: Surroundings, asks = true): Promise<string> {
  const found = namedConfig(given, terminal) ?? (asks ? await fileOfAgent() : undefined)
  if (found !== undefined) return found
  // A file that the user may not read is chosen, too: the error names it.
  const missing = await stat(INSTALLED).then(() => '', errnoOf)
  if (missing !== 'ENOENT' && missing !== 'ENOTDIR') return INSTALLED
  const shipped = ownFile('config/ktrail.yaml')
  terminal.printError(`ktrail: no --config, no KTRAIL_CONFIG and no ${INSTALLED}: using ktrail's own ${shipped}`)
  return shipped
}

/** The config of a command, and its file. Throws ConfigError. */
export async function readConfig(
  given: Arguments,
  terminal: Surroundings,
  asks = true,
): Promise<LoadedConfig & { readonly file: string }> {
  const file = await configFile(given, terminal, asks)
  // Most commands read no config, and its schema is most of the code that they would load.
  const { configOrThrow, parseConfigFile } = await import('../../config/agent/check.ts')
  return { ...configOrThrow(await parseConfigFile(file, terminal.env)), file }
}

/** The config file of the running agent; undefined if there is none, or if the path leads to another file here, as for an agent in a container. */
async function fileOfAgent(): Promise<string | undefined> {
  try {
    const { page } = await readStatus({ address: { path: SOCKET }, token: undefined }, ANSWER_MS)
    const agent = `/proc/${page.pid}`
    const file = resolve(await readlink(`${agent}/cwd`), page.config.files[0] ?? '')
    const [here, there] = await Promise.all([stat(file), stat(`${agent}/root${file}`)])
    return here.isFile() && here.dev === there.dev && here.ino === there.ino ? file : undefined
  } catch {
    return undefined
  }
}
