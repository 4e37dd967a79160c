/** An agent (agent.ts) in a process of its own, as its test sees it. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Order, Reports, Said } from './protocol.ts'

const PROGRAM = fileURLToPath(new URL('agent.ts', import.meta.url))
const START_MS = 30_000

/** Waits for a condition without taking the processor from the process that is to bring it about. */
export async function waitUntil(what: string, condition: () => boolean, deadlineMs: number): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain until ${what}`)
    await pause(5)
  }
}

export interface StartOptions {
  readonly yaml: string
  readonly epoch: string
  readonly from?: number
  readonly eventsPerSecond: number
  /** Command before node, for namespaces; it must become node without a process between. */
  readonly wrapper?: readonly string[]
  /** Sees each report in the order in which the agent made it. */
  readonly onReport?: (report: Extract<Said, { is: 'report' }>, started: Reports) => void
}

export class AgentProcess implements AsyncDisposable {
  /** What the exporters said of themselves once they were started, before the first event. */
  started: Reports | undefined
  latest: Extract<Said, { is: 'report' }> | undefined
  stopped: Reports | undefined
  /** No event at or above this one was published. */
  publishing: number
  /** Why it ended by itself, or what a look at a report threw. */
  failure: string | undefined
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  readonly #options: StartOptions
  #stderr = ''

  constructor(options: StartOptions) {
    const { yaml, epoch, from = 0, eventsPerSecond, wrapper = [] } = options
    this.#options = options
    this.publishing = from
    const [command = process.execPath, ...args] = [
      ...wrapper,
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      PROGRAM,
    ]
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    this.#child = child
    this.#ended = new Promise((resolve) => child.once('close', () => resolve()))
    child.stderr?.on('data', (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString()).slice(-4000)))
    child.on('message', (said: Said) => this.#hear(said))
    child.on('error', (error) => (this.failure ??= error.message))
    // Killed before it read this, it is gone: nobody needs to know.
    child.send({ do: 'run', yaml, epoch, from, eventsPerSecond } satisfies Order, () => undefined)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Waits until its exporters are started; rejects when they refuse. */
  async whenStarted(): Promise<Reports> {
    await this.until('it has started', () => this.started !== undefined, START_MS)
    return this.started ?? {}
  }

  /** Waits for something that its reports tell; rejects when it ends or fails before. */
  async until(what: string, condition: () => boolean, deadlineMs: number): Promise<void> {
    await waitUntil(what, () => this.failure !== undefined || this.hasEnded || condition(), deadlineMs)
    this.check()
    if (!condition()) throw new Error(`the agent ended before ${what}: ${this.#stderr}`)
  }

  /** Throws what failed so far. */
  check(): void {
    if (this.failure !== undefined) throw new Error(this.failure)
  }

  rate(eventsPerSecond: number): void {
    this.#child.send({ do: 'rate', eventsPerSecond } satisfies Order)
  }

  /** kill -9; resolves when all it has said is heard. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  /** An orderly stop. */
  async stop(graceMs: number): Promise<Reports> {
    this.#child.send({ do: 'stop', graceMs } satisfies Order)
    await this.#ended
    this.check()
    if (this.stopped === undefined) throw new Error(`the agent ended without a word: ${this.#stderr}`)
    return this.stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasEnded) await this.kill()
  }

  #hear(said: Said): void {
    switch (said.is) {
      case 'started':
        this.started = said.exporters
        break
      case 'publishing':
        this.publishing = said.to
        break
      case 'report':
        this.latest = said
        this.#look(said)
        break
      case 'stopped':
        this.stopped = said.exporters
        break
      case 'failed':
        this.failure ??= said.why
        break
    }
  }

  #look(report: Extract<Said, { is: 'report' }>): void {
    try {
      for (const [name, { imbalance, accounting }] of Object.entries(report.exporters)) {
        if (imbalance !== 0)
          throw new Error(`the books of "${name}" are off by ${imbalance}: ${JSON.stringify(accounting)}`)
      }
      this.#options.onReport?.(report, this.started ?? {})
    } catch (error) {
      this.failure ??= error instanceof Error ? error.message : String(error)
    }
  }
}
