/**
 * A container engine for tests: the daemon that testcontainers finds, else one of our own for the duration of the test, from
 * the packages of this machine's Debian (engine.sh, daemon.sh). If neither works, the reason why.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import http from 'node:http'
import { Socket } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { getContainerRuntimeClient } from 'testcontainers'
import type { ContainerRuntimeClient } from 'testcontainers'
import { engines } from './engines.ts'

const at = (name: string): string => path.join(import.meta.dirname, name)
const HERE = '127.0.0.1'
/** Another test file may be using the daemon. */
const START_MS = 600_000
const SEARCH_MS = 60_000
// testcontainers caches its first result, even a failure, so another process checks.
const SEARCH = "import('testcontainers').then(({ getContainerRuntimeClient: search }) => search())"

export interface Engine extends AsyncDisposable {
  readonly client: ContainerRuntimeClient
  /** Containers use the network of this machine, so their ports are ports of this machine. */
  readonly hostNetwork: boolean
  /** The host at which ports of containers are reached. */
  readonly host: string
}

export type Found = { readonly engine: Engine } | { readonly missing: string }

/** To be disposed of when the tests of this process have ended. */
export async function findEngine(): Promise<Found> {
  if (await answers()) {
    const client = await getContainerRuntimeClient()
    const { host } = client.info.containerRuntime
    const address = host === 'localhost' ? HERE : host
    return { engine: { client, hostNetwork: false, host: address, [Symbol.asyncDispose]: async () => {} } }
  }
  if (process.getuid?.() !== 0) {
    return { missing: 'no docker daemon answers, and only root can start one: start one, or run as root' }
  }
  try {
    return { engine: await startEngine() }
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) }
  }
}

function answers(): Promise<boolean> {
  return promisify(execFile)(process.execPath, ['-e', SEARCH], { cwd: import.meta.dirname, timeout: SEARCH_MS }).then(
    () => true,
    () => false,
  )
}

async function startEngine(): Promise<Engine> {
  const found = await engines()
  if ('missing' in found) throw new Error(found.missing)
  const data = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'ktrail/docker/data')
  // A failed daemon has removed its data, which a kill may have damaged: a second attempt may succeed.
  return startDaemon(found.folder, data).catch(() => startDaemon(found.folder, data))
}

async function startDaemon(folder: string, data: string): Promise<Engine> {
  const run = await mkdtemp(path.join(tmpdir(), 'ktrail-docker-'))
  // A session of its own: Ctrl-C ends the test, which ends the daemon in order.
  const child = spawn(at('daemon.sh'), [folder, data, run], { detached: true, stdio: ['pipe', 'ignore', 'pipe'] })
  const ended = once(child, 'exit')
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)))
  // A test that ends without disposing of it closes the pipe, which stops the daemon too.
  child.unref()
  for (const pipe of [child.stdin, child.stderr]) if (pipe instanceof Socket) pipe.unref()
  const stop = async (): Promise<void> => {
    child.ref()
    child.stdin.end()
    await ended
  }
  const socketPath = path.join(run, 'docker.sock')
  try {
    const deadline = performance.now() + START_MS
    while (!(await pings(socketPath))) {
      if (child.exitCode === null && child.signalCode === null && performance.now() < deadline) continue
      throw new Error(`the docker daemon did not start: ${complaint.trim()}; start one yourself`)
    }
    process.env['DOCKER_HOST'] = `unix://${socketPath}`
    // Within a container it would search for the gateway of a bridge.
    process.env['TESTCONTAINERS_HOST_OVERRIDE'] = HERE
    // Its helper container is for daemons that run longer than the test.
    process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true'
    const client = await getContainerRuntimeClient()
    await removeContainers(client)
    return { client, hostNetwork: true, host: HERE, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function pings(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get({ socketPath, path: '/_ping', timeout: 5000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('timeout', () => request.destroy())
    // A pause before the next request, to avoid a busy loop.
    request.on('error', () => void pause(50).then(() => resolve(false)))
  })
}

/** Removes containers of a killed test. */
async function removeContainers({ container: { dockerode } }: ContainerRuntimeClient): Promise<void> {
  for (const { Id } of await dockerode.listContainers({ all: true })) {
    await dockerode.getContainer(Id).remove({ force: true, v: true })
  }
}
