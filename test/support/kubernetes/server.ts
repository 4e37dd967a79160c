/**
 * A real API server with its etcd, as processes of a test, and kubectl on it. Built once into the cache by `make kubernetes`; tests without them
 * are skipped. There are no controllers and no nodes: a test writes their objects.
 */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createAuthority } from '../authority.ts'
import type { Authority } from '../authority.ts'
import { freePorts } from '../containers/ports.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const BUILD = fileURLToPath(new URL('build.sh', import.meta.url))
const START_MS = 60_000
/** This machine, for a guest with `--network`. */
export const HOST_OF_GUEST = '10.0.2.2'

/** The folder with etcd, kube-apiserver, kubectl and helm, or with helm only, or why there is none. */
export async function kubernetesPrograms(
  which: '--if-built' | '--helm-if-built' = '--if-built',
): Promise<{ readonly folder: string } | { readonly missing: string }> {
  try {
    const { stdout } = await promisify(execFile)(BUILD, [which])
    return { folder: stdout.trim() }
  } catch (error) {
    const text = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    return { missing: text.split('\n').at(-1) ?? 'the Kubernetes API server is not built' }
  }
}

/** Output and exit code of a command. */
export interface Done {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export const kubeconfigOf = (user: object, server: string, ca: string): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  'current-context': 'test',
  contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  clusters: [{ name: 'test', cluster: { server, 'certificate-authority': ca } }],
  users: [{ name: 'test', user }],
})

/** The API server for tests; for a guest, it runs on the host (beside-guest.ts). */
export type Cluster = Pick<
  ApiServer,
  | 'kubeconfig'
  | 'kubeconfigOf'
  | 'url'
  | 'ca'
  | 'kubectl'
  | 'helm'
  | 'apply'
  | 'pause'
  | 'resume'
  | typeof Symbol.asyncDispose
>

export class ApiServer implements AsyncDisposable {
  readonly #programs: string
  readonly #folder: string
  readonly #ports: readonly [api: number, etcd: number, peer: number]
  readonly #token = randomBytes(16).toString('hex')
  readonly #tls: Authority
  #etcd: ChildProcess | undefined
  #api: ChildProcess | undefined

  private constructor(programs: string, folder: string, ports: readonly number[]) {
    this.#programs = programs
    this.#folder = folder
    const [api = 0, etcd = 0, peer = 0] = ports
    this.#ports = [api, etcd, peer]
    this.#tls = createAuthority(folder, 'api', { addresses: ['127.0.0.1', HOST_OF_GUEST] })
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    writeFileSync(this.#at('account.key'), privateKey)
    writeFileSync(this.#at('account.pub'), publicKey)
    writeFileSync(this.#at('tokens.csv'), `${this.#token},admin,admin,"system:masters"\n`)
    writeFileSync(this.kubeconfig, JSON.stringify(this.kubeconfigOf({ token: this.#token })))
  }

  /** Up in about five seconds. `folder`: of kubernetesPrograms. */
  static async start(folder: string): Promise<ApiServer> {
    const own = mkdtempSync(path.join(tmpdir(), 'ktrail-kubernetes-'))
    const server = new ApiServer(folder, own, await freePorts(3))
    try {
      const [, port, peer] = server.#ports
      const [client, peers] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peer}`]
      server.#etcd = server.#spawn('etcd', {
        'data-dir': server.#at('etcd'),
        'unsafe-no-fsync': 'true',
        'listen-client-urls': client,
        'advertise-client-urls': client,
        'listen-peer-urls': peers,
        'initial-advertise-peer-urls': peers,
        'initial-cluster': `default=${peers}`,
      })
      await server.resume()
      return server
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Kubeconfig of the user who may do everything. */
  get kubeconfig(): string {
    return this.#at('kubeconfig')
  }

  /** Token of that user. */
  get token(): string {
    return this.#token
  }

  get url(): string {
    return `https://127.0.0.1:${this.#ports[0]}`
  }

  /** PEM file. */
  get ca(): string {
    return this.#tls.ca
  }

  #at(name: string): string {
    return path.join(this.#folder, name)
  }

  /** A kubeconfig for a user. `server`: another address. */
  kubeconfigOf(user: object, server: string = this.url): object {
    return kubeconfigOf(user, server, this.ca)
  }

  #spawn(program: string, options: Readonly<Record<string, string>>): ChildProcess {
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
    const log = this.#at(`${program}.log`)
    // Fewer garbage collections: it lives for a minute.
    const env = { ...process.env, GOGC: '400' }
    const child = spawn(path.join(this.#programs, program), args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let kept = ''
    const keep = (chunk: Buffer): void => {
      kept = (kept + chunk.toString()).slice(-4000)
      writeFileSync(log, kept)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    return child
  }

  /** Starts the API server, also again after `pause`; the content of etcd is still there. */
  async resume(): Promise<void> {
    const [port, etcd] = this.#ports
    const child = this.#spawn('kube-apiserver', {
      'bind-address': '127.0.0.1',
      // A guest has no other; the endpoints of the service kubernetes, which is not used here, must not be on loopback.
      'advertise-address': '127.0.0.1',
      'endpoint-reconciler-type': 'none',
      'secure-port': `${port}`,
      'etcd-servers': `http://127.0.0.1:${etcd}`,
      'tls-cert-file': this.#tls.cert,
      'tls-private-key-file': this.#tls.key,
      'cert-dir': this.#at('certs'),
      'token-auth-file': this.#at('tokens.csv'),
      'authorization-mode': 'RBAC',
      'allow-privileged': 'true',
      'service-account-issuer': 'https://ktrail.test',
      'service-account-key-file': this.#at('account.pub'),
      'service-account-signing-key-file': this.#at('account.key'),
      'service-cluster-ip-range': '10.0.0.0/24',
      // Its controller, which would make the tokens, does not run.
      'disable-admission-plugins': 'ServiceAccount',
    })
    this.#api = child
    const deadline = performance.now() + START_MS
    while (!(await this.#ready())) {
      if (child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`the API server is not ready: ${readFileSync(this.#at('kube-apiserver.log'), 'utf8')}`)
      }
      await after(50)
    }
  }

  #ready(): Promise<boolean> {
    const headers = { authorization: `Bearer ${this.#token}` }
    return new Promise((resolve) => {
      const asked = get(`${this.url}/readyz`, { headers, ca: readFileSync(this.ca), timeout: 5_000, agent: false })
      asked.on('response', (answer) => {
        answer.resume()
        resolve(answer.statusCode === 200)
      })
      asked.on('timeout', () => asked.destroy())
      asked.on('error', () => resolve(false))
    })
  }

  /** Ends the API server; etcd stays. */
  async pause(): Promise<void> {
    await ended(this.#api, 'SIGKILL')
    this.#api = undefined
  }

  /** Runs kubectl as the user who may do everything. Does not throw for an exit code. */
  kubectl(args: readonly string[], input = ''): Promise<Done> {
    return this.#run('kubectl', args, input)
  }

  /** Runs helm as that user, in the root of this checkout. Does not throw for an exit code. */
  helm(args: readonly string[], input = ''): Promise<Done> {
    return this.#run('helm', args, input)
  }

  async #run(program: string, args: readonly string[], input: string): Promise<Done> {
    const env = { PATH: process.env['PATH'], HOME: this.#folder, KUBECONFIG: this.kubeconfig, GOGC: 'off' }
    const child = spawn(path.join(this.#programs, program), args, { env, cwd: ROOT, timeout: 120_000 })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    await once(child, 'close')
    return { code: child.exitCode ?? -1, ...output }
  }

  /** Applies a document; throws with kubectl's output if it is refused. */
  async apply(document: object | string): Promise<void> {
    const input = typeof document === 'string' ? document : JSON.stringify(document)
    const { code, stderr } = await this.kubectl(['apply', '-f', '-'], input)
    if (code !== 0) throw new Error(stderr)
  }

  /** Ends both, and removes their files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await ended(this.#api, 'SIGKILL')
    await ended(this.#etcd, 'SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Waits until the API server serves all definitions of kinds. Right after they were made, its cache may not have them yet: NotFound. */
export async function established(cluster: Pick<Cluster, 'kubectl'>): Promise<void> {
  const words = ['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all']
  const deadline = performance.now() + START_MS
  for (;;) {
    const { code, stderr } = await cluster.kubectl(words)
    if (code === 0) return
    if (!stderr.includes('NotFound') || performance.now() > deadline) throw new Error(stderr)
    await after(100)
  }
}

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill(signal)
  await exit
}
