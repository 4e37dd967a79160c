/** An agent as a bare process, for tests that end it before it is ready or close its output. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { KTRAIL } from './faults.ts'
import { MetricsPage } from './metrics.ts'
import { until } from './wait.ts'

export interface RawEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class RawAgent implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly ended: Promise<RawEnd>
  #over: RawEnd | undefined
  #stderr = ''

  /**
   * Spawns the command and does not wait. `stdout`: whether its standard output is a pipe; otherwise it is discarded. `env`: variables beside
   * those of this process. `command`: its last word is the config, and it has a channel for messages; default `ktrail run`.
   */
  constructor(
    config: string,
    options: {
      readonly stdout?: boolean
      readonly env?: Readonly<Record<string, string>>
      readonly command?: readonly string[]
    } = {},
  ) {
    const [program = '', ...words] = options.command ?? [KTRAIL, 'run', '--config']
    this.#child = spawn(program, [...words, config], {
      env: { ...process.env, ...options.env },
      stdio: [
        'ignore',
        options.stdout === true ? 'pipe' : 'ignore',
        'pipe',
        ...(options.command === undefined ? [] : (['ipc'] as const)),
      ],
    })
    this.#child.stderr?.on('data', (bytes: Buffer) => (this.#stderr += bytes.toString()))
    this.ended = new Promise((resolve) => {
      this.#child.on('exit', (code, signal) => resolve((this.#over = { code, signal })))
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get stdout(): Readable | null {
    return this.#child.stdout
  }

  /** Its own log so far. */
  get stderr(): string {
    return this.#stderr
  }

  get over(): RawEnd | undefined {
    return this.#over
  }

  /** Waits for the log line "ready"; throws with the log if it ends before. */
  async ready(): Promise<void> {
    await until('the agent to be ready', () => {
      if (this.#over !== undefined) throw new Error(`the agent ended (${JSON.stringify(this.#over)}):\n${this.#stderr}`)
      return this.#address() !== undefined
    })
  }

  #address(): string | undefined {
    return /"http":"([^"]+)".*"msg":"ready"/.exec(this.#stderr)?.[1]
  }

  /** The address of its pages. */
  get url(): string {
    return `http://${this.#address()}`
  }

  /** GET of one of its pages. */
  page(path: string): Promise<Response> {
    return fetch(this.url + path)
  }

  async metrics(): Promise<MetricsPage> {
    return new MetricsPage(await (await this.page('/metrics')).text())
  }

  /** Sends a message over the channel of `command`; resolves with the answer. */
  request(message: number): Promise<unknown> {
    return new Promise((resolve) => {
      this.#child.once('message', resolve)
      this.#child.send(message)
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends the signal and waits for the end. */
  async end(signal: NodeJS.Signals): Promise<RawEnd> {
    this.signal(signal)
    return until(`the agent to end after ${signal}`, () => this.#over, { more: () => `\n${this.#stderr}` })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over === undefined) await this.end('SIGKILL')
  }
}
