/**
 * beside-guest.ts KERNEL [OPTION]... -- COMMAND...: runs the command in a guest (../guest/run.sh) beside a real API server on this machine, which
 * it reaches over QEMU's network. In the guest the API server would take minutes to start, and a tenth of a minute for each kubectl.
 *
 * The guest requests over HTTP the actions that only this machine can do (kubectl, helm, ending the API server): a POST of `Asked`, answered
 * with the result as JSON. `guest-cluster.ts` is the other end.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { ENGINES, engines } from '../containers/engines.ts'
import { ApiServer, HOST_OF_GUEST, kubernetesPrograms } from './server.ts'

export type Asked =
  | { readonly kind: 'kubectl' | 'helm'; readonly args: readonly string[]; readonly input: string }
  | { readonly kind: 'pause' | 'resume' }

/** Data for the guest, as JSON in the variable KTRAIL_CLUSTER. `url`: the API server; `control`: this program. */
export interface Beside {
  readonly url: string
  readonly token: string
  readonly ca: string
  readonly control: string
}

const RUN = fileURLToPath(new URL('../guest/run.sh', import.meta.url))

async function done(server: ApiServer, request: IncomingMessage): Promise<unknown> {
  if (request.headers.authorization !== `Bearer ${server.token}`)
    throw new Error('expected the token of the API server')
  const asked: Asked = JSON.parse(await text(request))
  switch (asked.kind) {
    case 'kubectl':
    case 'helm':
      return server[asked.kind](asked.args, asked.input)
    case 'pause':
      return server.pause()
    case 'resume':
      return server.resume()
  }
}

async function main(args: readonly string[]): Promise<number> {
  const at = args.indexOf('--')
  if (at < 1) throw new Error('expected a kernel, options of run.sh, -- and a command')
  const programs = await kubernetesPrograms()
  if ('missing' in programs) throw new Error(programs.missing)
  await using server = await ApiServer.start(programs.folder)
  const control = createServer((request, response) => {
    done(server, request).then(
      (result) => response.end(JSON.stringify(result ?? null)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  }).listen(0, '127.0.0.1')
  await once(control, 'listening')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server that listens
  const { port } = control.address() as AddressInfo
  const beside: Beside = {
    url: `https://${HOST_OF_GUEST}:${new URL(server.url).port}`,
    token: server.token,
    ca: readFileSync(server.ca, 'utf8'),
    control: `http://${HOST_OF_GUEST}:${port}`,
  }
  const variables = { KTRAIL_CLUSTER: beside, [ENGINES]: await engines() }
  const texts = Object.entries(variables).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  const guest = [...args.slice(0, at), '--network', '--', 'env', ...texts, ...args.slice(at + 1)]
  const child = spawn(RUN, guest, { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  await once(child, 'exit')
  control.closeAllConnections()
  control.close()
  return child.exitCode ?? 125
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
