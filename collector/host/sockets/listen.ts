/** Listening at the configured address: a host and port, or a Unix socket. */
import { once } from 'node:events'
import type { Server } from 'node:net'
import { formatAddress } from '../../../config/base/addresses.ts'
import type { Address } from '../../../config/base/addresses.ts'
import { CollectorError } from '../../errors.ts'
import { listenOnPath } from './unix-socket.ts'

/**
 * Makes `server` listen; resolves to the address in the config's notation. `key`: the config key of the address. Creates a missing folder of
 * a Unix socket. Throws CollectorError LISTEN_FAILED with the address.
 */
export async function listenAt(server: Server, address: Address, key: string): Promise<string> {
  const refused = (why: string, cause?: unknown): CollectorError =>
    new CollectorError('LISTEN_FAILED', `cannot listen on ${formatAddress(address)}: ${why}`, { cause })
  if ('path' in address) {
    const holder = await listenOnPath(server, address.path).catch((cause: unknown) => {
      throw refused(cause instanceof Error ? cause.message : String(cause), cause)
    })
    if (holder !== undefined) throw refused(`the path is used by ${holder}; set ${key} to another path`)
    return formatAddress(address)
  }
  const { host, port } = address
  await once(server.listen({ host, port }), 'listening').catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'EADDRINUSE'
      ? refused(`another program listens on it; set ${key} to a free port`, cause)
      : refused(cause.message, cause)
  })
  const bound = server.address()
  if (typeof bound !== 'object' || bound === null) return formatAddress(address)
  return formatAddress({ host: bound.address, port: bound.port })
}
