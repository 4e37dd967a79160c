/** An HTTPS server that answers as an API server would, or as a broken one; a client that trusts it. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Login } from '../../../collector/kubernetes/login.ts'
import { createAuthority } from '../authority.ts'
import type { AuthorityOptions } from '../authority.ts'

export interface Scripted extends AsyncDisposable {
  readonly login: Login
  /** Method and URL of each request. */
  readonly requests: string[]
  /** Ends all connections. */
  cut(): void
}

export async function scripted(
  answer: (url: URL, answer: ServerResponse, request: IncomingMessage) => void,
  options: AuthorityOptions = {},
): Promise<Scripted> {
  const folder = mkdtempSync(path.join(tmpdir(), 'ktrail-api-'))
  const { ca, cert, key } = createAuthority(folder, 'api', options)
  const requests: string[] = []
  const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    answer(new URL(request.url ?? '', 'https://x'), response, request)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server that listens
  const { port } = server.address() as AddressInfo
  const credentials = { ca: readFileSync(ca, 'latin1'), cert: undefined, key: undefined, token: 'secret' }
  return {
    login: {
      server: `https://127.0.0.1:${port}`,
      serverName: undefined,
      verify: true,
      from: 'the test',
      read: () => Promise.resolve(credentials),
    },
    requests,
    cut: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      rmSync(folder, { recursive: true })
    },
  }
}

/** Writes a kubeconfig with which it is reached. */
export async function writeKubeconfig(file: string, { login }: Scripted): Promise<void> {
  const { ca } = await login.read()
  const reached = {
    server: login.server,
    'certificate-authority-data': Buffer.from(ca ?? '', 'latin1').toString('base64'),
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: reached }],
    users: [{ name: 'u', user: { token: 'secret' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  }
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
}
