/** The real OpenTelemetry Collector in a process of its own: OTLP or Kafka in, forwarded at once to an OTLP sink, without a queue. */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const BUILD = fileURLToPath(new URL('collector/build.sh', import.meta.url))

/** Path of the collector's program, built if necessary (minutes the first time); or why there is none. */
export async function collectorProgram(): Promise<{ readonly program: string } | { readonly missing: string }> {
  try {
    const { stdout } = await promisify(execFile)(BUILD, { timeout: 600_000 })
    return { program: stdout.trim() }
  } catch (error) {
    const text = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    return { missing: text.split('\n').at(-1) ?? 'the collector could not be built' }
  }
}

/** A topic that it reads too, from its beginning. */
export interface FromKafka {
  readonly brokers: readonly string[]
  readonly topic: string
}

/** Answers come from the sink behind it: without queue and retry a 200 means that the sink has the records. */
function configOf(port: number, sink: string, kafka: FromKafka | undefined): string {
  const receivers = {
    otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } },
    ...(kafka && {
      kafka: {
        brokers: kafka.brokers,
        initial_offset: 'earliest',
        logs: { topics: [kafka.topic], encoding: 'otlp_proto' },
      },
    }),
  }
  return `
receivers: ${JSON.stringify(receivers)}
exporters:
  otlp_http:
    logs_endpoint: "${sink}"
    compression: gzip
    sending_queue: { enabled: false }
    retry_on_failure: { enabled: false }
service:
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [${Object.keys(receivers).join()}], exporters: [otlp_http] } }
`
}

export class Collector implements AsyncDisposable {
  readonly port: number
  readonly #program: string
  readonly #config: string
  #child: ChildProcess | undefined
  /** The end of its output, for the message if it does not start. */
  #output = ''

  private constructor(program: string, port: number, config: string) {
    this.#program = program
    this.port = port
    this.#config = config
  }

  static async start(program: string, sink: string, kafka?: FromKafka): Promise<Collector> {
    const port = await freePort()
    const collector = new Collector(program, port, configOf(port, sink, kafka))
    await collector.start()
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/v1/logs`
  }

  /** Starts it on the same port; resolves when it accepts connections. */
  async start(): Promise<void> {
    const child = spawn(this.#program, ['--config', `yaml:${this.#config}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    const keep = (chunk: Buffer): void => void (this.#output = (this.#output + chunk.toString()).slice(-4000))
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const deadline = performance.now() + 30_000
    while (!(await this.#listens())) {
      if (child.exitCode !== null || performance.now() > deadline) throw new Error(`no collector: ${this.#output}`)
    }
  }

  #listens(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1')
      socket.once('connect', () => resolve(true))
      // The retry must not be a busy loop: a refused connection returns at once.
      socket.once('error', () => setTimeout(resolve, 20, false))
      socket.once('connect', () => socket.destroy())
    })
  }

  /** Pauses it: connections stay open, nothing is read or answered. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill()
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server that listens
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
