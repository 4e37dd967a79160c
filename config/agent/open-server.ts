import { formatAddress, isLocal } from '../yaml/addresses.ts'
import type { LoadedConfig } from './load.ts'
import type { Problem } from '../yaml/problems.ts'

/** A warning where other hosts may read the agent's pages without a token. */
export function openServer({ config, origins }: LoadedConfig, file: string): Problem[] {
  const { http, token } = config.server
  if (isLocal(http) || token !== undefined) return []
  const message =
    `server.http: whoever reaches ${formatAddress(http)} can read the addresses of exporters, their errors and the names of policies: ` +
    'set server.token, or use 127.0.0.1 or a Unix socket'
  return [{ file, ...(origins.get('server.http')?.at ?? { line: 1, col: 1 }), message }]
}
