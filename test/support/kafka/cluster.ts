/**
 * Real brokers: Apache Kafka in KRaft mode, one node or three, each a process of its own that can be killed.
 *
 *   await using cluster = await KafkaCluster.start(jars.folder, { nodes: 3 })
 */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Authority } from '../authority.ts'
import { forJava, loadedClasses } from './jars.ts'

const run = promisify(execFile)
/** A fixed id: clusters of different tests have no connection. */
const CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM2Qg'
const START_MS = 90_000
const LOG = '-Dorg.slf4j.simpleLogger.defaultLogLevel=info'

/** A further listener: TLS with client certificates and a login, by `plain` or `scram-sha-512`. */
export interface SecureListener {
  /** As in an address. Default: 127.0.0.1. */
  readonly host?: string
  /** PEM files of the brokers; `ca` is the authority that they trust. */
  readonly files: Authority
  readonly username: string
  readonly password: string
}

export interface ClusterOptions {
  readonly nodes: number
  readonly secure?: SecureListener
  /** Further lines of server.properties. */
  readonly settings?: Readonly<Record<string, string>>
}

interface Node {
  readonly id: number
  readonly port: number
  readonly secureAddress: string
  readonly configFile: string
  process: ChildProcess | undefined
}

export class KafkaCluster implements AsyncDisposable {
  readonly #jars: string
  readonly #folder: string
  readonly #nodes: readonly Node[]

  private constructor(jars: string, folder: string, nodes: readonly Node[]) {
    this.#jars = jars
    this.#folder = folder
    this.#nodes = nodes
  }

  /** Formats and starts all nodes; settles when each has logged that it is ready. */
  static async start(jars: string, options: ClusterOptions): Promise<KafkaCluster> {
    const folder = await mkdtemp(path.join(tmpdir(), 'ktrail-kafka-'))
    const ports = await freePorts(options.nodes * 3)
    const voters = Array.from({ length: options.nodes }, (_, i) => `${i + 1}@127.0.0.1:${ports[options.nodes + i]}`)
    const nodes = Array.from({ length: options.nodes }, (_, i): Node => {
      const configFile = path.join(folder, `node-${i + 1}.properties`)
      const secureAddress = `${options.secure?.host ?? '127.0.0.1'}:${ports[options.nodes * 2 + i]}`
      return { id: i + 1, port: ports[i] ?? 0, secureAddress, configFile, process: undefined }
    })
    const cluster = new KafkaCluster(jars, folder, nodes)
    try {
      for (const node of nodes) {
        const controllerPort = ports[options.nodes + node.id - 1] ?? 0
        await writeFile(node.configFile, properties(node, controllerPort, voters, folder, options))
        await cluster.#format(node, options)
      }
      if (options.nodes === 1 && !existsSync(loadedClasses(jars))) await cluster.#keepClasses()
      await Promise.all(nodes.map((node) => cluster.restart(node.id)))
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Kafka's tool for this takes two seconds of processor time. For a node without users, its files differ in one line only. */
  async #format({ id, configFile }: Node, { secure }: ClusterOptions): Promise<void> {
    const data = dataOf(this.#folder, id)
    const [features, made] = [`${this.#jars}.checkpoint`, path.join(data, 'bootstrap.checkpoint')]
    if (secure === undefined && existsSync(features)) {
      await mkdir(data)
      await copyFile(features, made)
      await writeFile(path.join(data, 'meta.properties'), `version=1\ncluster.id=${CLUSTER_ID}\nnode.id=${id}\n`)
      return
    }
    const format = ['format', '-t', CLUSTER_ID, '-c', configFile, ...(secure === undefined ? [] : userOf(secure))]
    await run('java', [...forJava(this.#jars, 128), 'kafka.tools.StorageTool', ...format])
    if (secure !== undefined) return
    const part = `${features}.${process.pid}`
    await copyFile(made, part)
    await rename(part, features)
  }

  get brokers(): string[] {
    return this.#nodes.map(({ port }) => `127.0.0.1:${port}`)
  }

  /** The listener for clients with certificate and password. */
  get secureBrokers(): string[] {
    return this.#nodes.map(({ secureAddress }) => secureAddress)
  }

  /** Starts a stopped node, with its data. */
  async restart(id: number, classes?: string): Promise<void> {
    const node = this.#node(id)
    const args = [...forJava(this.#jars, 512, classes), LOG, 'kafka.Kafka', node.configFile]
    const child = spawn('java', args, { cwd: this.#folder, stdio: ['ignore', 'pipe', 'pipe'] })
    node.process = child
    await new Promise<void>((resolve, reject) => {
      let tail = ''
      const late = setTimeout(() => reject(new Error(`node ${id} did not start in ${START_MS} ms:\n${tail}`)), START_MS)
      const read = (chunk: Buffer): void => {
        tail = (tail + chunk.toString()).slice(-4000)
        if (!tail.includes('Kafka Server started')) return
        clearTimeout(late)
        resolve()
      }
      child.stdout.on('data', read)
      child.stderr.on('data', read)
      child.once('exit', (code) => {
        clearTimeout(late)
        reject(new Error(`node ${id} ended with code ${code}:\n${tail}`))
      })
    })
  }

  /** Ends a node; settles when its process has ended. */
  async kill(id: number, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#node(id).process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }

  /** Java writes them at the regular end of a broker. */
  async #keepClasses(): Promise<void> {
    const part = `${loadedClasses(this.#jars)}.${process.pid}`
    await this.restart(1, `-XX:ArchiveClassesAtExit=${part}`)
    await this.kill(1, 'SIGTERM')
    await rename(part, loadedClasses(this.#jars))
  }

  #node(id: number): Node {
    const node = this.#nodes[id - 1]
    if (node === undefined) throw new Error(`no node ${id}`)
    return node
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map(({ id }) => this.kill(id)))
    await rm(this.#folder, { recursive: true, force: true })
  }
}

const dataOf = (folder: string, id: number): string => path.join(folder, `data-${id}`)

function properties(
  node: Node,
  controllerPort: number,
  voters: readonly string[],
  folder: string,
  options: ClusterOptions,
): string {
  const replicas = String(Math.min(3, options.nodes))
  const settings: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(node.id),
    'controller.quorum.voters': voters.join(','),
    listeners: `PLAINTEXT://127.0.0.1:${node.port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${node.port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': dataOf(folder, node.id),
    'auto.create.topics.enable': 'false',
    // Retention is by the timestamps of records, and those of tests are old.
    'log.retention.ms': '-1',
    'offsets.topic.num.partitions': '1',
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.num.partitions': '1',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    ...options.settings,
  }
  if (options.secure !== undefined) {
    const address = `SECURE://${node.secureAddress}`
    settings['listeners'] += `,${address}`
    settings['advertised.listeners'] += `,${address}`
    settings['listener.security.protocol.map'] += ',SECURE:SASL_SSL'
    Object.assign(settings, secureSettings(options.secure))
  }
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

function secureSettings({ files, username, password }: SecureListener): Record<string, string> {
  // One line a setting: line feeds are written as \n.
  const pem = (file: string): string => readFileSync(file, 'utf8').trim().replaceAll('\n', '\\n')
  const module = 'org.apache.kafka.common.security'
  const own = {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.key': pem(files.key),
    'ssl.keystore.certificate.chain': pem(files.cert),
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.certificates': pem(files.ca),
    'ssl.client.auth': 'required',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'plain.sasl.jaas.config': `${module}.plain.PlainLoginModule required user_${username}="${password}";`,
    'scram-sha-512.sasl.jaas.config': `${module}.scram.ScramLoginModule required;`,
  }
  return Object.fromEntries(Object.entries(own).map(([key, value]) => [`listener.name.secure.${key}`, value]))
}

/** Arguments that create a SCRAM user in the storage. */
function userOf({ username, password }: SecureListener): string[] {
  return ['--add-scram', `SCRAM-SHA-512=[name=${username},password=${password}]`]
}

/** Ports that are free now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listen))
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

function listen(): Promise<ReturnType<typeof createServer>> {
  const server = createServer()
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}
