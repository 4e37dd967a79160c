/** The agent whose pages a command reads. */
import { access, constants } from 'node:fs/promises'
import { parseAddress } from '../../../config/base/addresses.ts'
import { readTextFile } from '../../../config/yaml/files.ts'
import { SOCKET } from '../../host/sockets/listening.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Terminal } from '../command.ts'
import { namedConfig, readConfig } from '../config-file.ts'
import type { PageSource } from './page.ts'

/**
 * From `--http` and `--token-file`, or else from the config: its `server.http` and token. If the user names no config, it is the agent's own
 * socket if the user may connect to it: this socket always exists, no other user can take it, and it works while the config on disk has mistakes.
 * Throws UsageError and ConfigError.
 */
export async function pageSourceOf(
  given: Arguments,
  terminal: Pick<Terminal, 'env' | 'printError'>,
): Promise<PageSource> {
  const [typed, tokenFile] = [given.text('http'), given.text('token-file')]
  const token = tokenFile === undefined ? undefined : await tokenOf(tokenFile)
  const address = typed === undefined ? undefined : parseAddress(typed)
  if (typeof address === 'string') throw new UsageError(`--http: ${address}, got "${typed}"`)
  // A typed address is that of another agent: the token of this host's config is not sent there.
  if (address !== undefined) return { address, token }
  if (namedConfig(given, terminal) === undefined && (await mayConnect(SOCKET)))
    return { address: { path: SOCKET }, token }
  const { server } = (await readConfig(given, terminal)).config
  return { address: server.http, token: token ?? server.token ?? server.metrics_token }
}

function mayConnect(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => true,
    () => false,
  )
}

async function tokenOf(file: string): Promise<string> {
  const read = await readTextFile(file)
  if ('problems' in read)
    throw new UsageError(`--token-file: ${read.problems[0]?.message ?? 'cannot be read'}: "${file}"`)
  return read.text.trim()
}
