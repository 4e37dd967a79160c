/** Connects commands to the API of a running agent. */
import { DEFAULT_SERVER, parseAddress } from '../../config/base/addresses.ts'
import { readTlsFiles } from '../../exporters/index.ts'
import { ApiClient } from '../api/client.ts'
import { UsageError } from './command.ts'
import type { Arguments } from './command.ts'

/** The agent that the options name. Throws UsageError; nothing is connected yet. */
export async function clientOf(given: Arguments): Promise<ApiClient> {
  const server = given.text('server') ?? DEFAULT_SERVER
  const address = parseAddress(server)
  if (typeof address === 'string') throw new UsageError(`--server: ${address}, got "${server}"`)
  if ('path' in address) return new ApiClient(server)
  const [ca_file, cert_file, key_file] = [given.text('ca-file'), given.text('cert-file'), given.text('key-file')]
  return new ApiClient(server, await readTlsFiles({ ca_file, cert_file, key_file, insecure_skip_verify: false }))
}
