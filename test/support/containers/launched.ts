/** A container of a test with one port, which can be paused, killed and restarted. */
import { BoundPorts, GenericContainer, Wait, waitForContainer } from 'testcontainers'
import type { StartedTestContainer, WaitStrategy } from 'testcontainers'
import type { Engine } from './engine.ts'

const START_MS = 120_000
/** Header of a frame of docker's log stream: stream, three zeros, length. */
const HEADER_BYTES = 8

export interface Launch {
  readonly image: string
  /** Inside and outside, because brokers report their address to clients. */
  readonly port: number
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Texts by their path inside. */
  readonly files?: Readonly<Record<string, string>>
  /** The line that it logs when it is ready. */
  readonly ready: RegExp
}

/** The address to listen on inside a container: not visible to other machines if that can be avoided. */
export const insideAddress = ({ hostNetwork }: Engine): string => (hostNetwork ? '127.0.0.1' : '0.0.0.0')

const waitFor = (ready: RegExp): WaitStrategy => Wait.forLogMessage(ready).withStartupTimeout(START_MS)

export class Launched implements AsyncDisposable {
  readonly #engine: Engine
  readonly #started: StartedTestContainer
  readonly #port: number
  readonly #ready: RegExp

  private constructor(engine: Engine, started: StartedTestContainer, { port, ready }: Launch) {
    this.#engine = engine
    this.#started = started
    this.#port = port
    this.#ready = ready
  }

  /** Settles when it is ready. */
  static async start(engine: Engine, launch: Launch): Promise<Launched> {
    const { image, port, command, environment, files = {}, ready } = launch
    const container = new GenericContainer(image).withWaitStrategy(waitFor(ready)).withDefaultLogDriver()
    if (command !== undefined) container.withCommand([...command])
    if (environment !== undefined) container.withEnvironment({ ...environment })
    container.withCopyContentToContainer(Object.entries(files).map(([target, content]) => ({ target, content })))
    if (engine.hostNetwork) container.withNetworkMode('host')
    else container.withExposedPorts({ container: port, host: port })
    return new Launched(engine, await container.start(), launch)
  }

  /** Its address, as host:port. */
  get address(): string {
    return `${this.#engine.host}:${this.#port}`
  }

  /** Freezes its processes: connections stay open, without answers. */
  async pause(): Promise<void> {
    await this.#container.pause()
  }

  async resume(): Promise<void> {
    await this.#container.unpause()
  }

  /** kill -9; settles when the container has stopped. */
  async kill(): Promise<void> {
    await this.#container.kill({ signal: 'SIGKILL' })
    await this.#container.wait()
  }

  /** Starts it again after a kill, with its files; settles when it is ready. */
  async restart(): Promise<void> {
    const container = this.#container
    // Docker records the start time after the start: log lines in between would be missed.
    const { FinishedAt } = (await container.inspect()).State
    await container.start()
    await waitForContainer(this.#engine.client, container, waitFor(this.#ready), new BoundPorts(), new Date(FinishedAt))
  }

  /** Standard output so far, across restarts. */
  async output(): Promise<string> {
    const frames = await this.#container.logs({ stdout: true, stderr: false, follow: false })
    const parts: Buffer[] = []
    for (let start = 0; start + HEADER_BYTES <= frames.length;) {
      const end = start + HEADER_BYTES + frames.readUInt32BE(start + 4)
      parts.push(frames.subarray(start + HEADER_BYTES, end))
      start = end
    }
    return Buffer.concat(parts).toString()
  }

  get #container(): ReturnType<Engine['client']['container']['getById']> {
    return this.#engine.client.container.getById(this.#started.getId())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A failed test may leave it paused, and a paused container cannot be removed.
    await this.resume().catch(() => {})
    await this.#container.remove({ force: true, v: true })
  }
}
