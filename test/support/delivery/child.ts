/** An agent (agent.ts) in a process of its own, as seen by its test. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Order, Reports, Message } from './protocol.ts'

const PROGRAM = fileURLToPath(new URL('agent.ts', import.meta.url))
const START_MS = 30_000

/** Waits for a condition without blocking the process that has to fulfil it. */
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
  /** Command before node, for namespaces; it must become node by exec, without a process between. */
  readonly wrapper?: readonly string[]
  /** Receives each report in the order in which the agent made it. */
  readonly onReport?: (report: Extract<Message, { is: 'report' }>, started: Reports) => void
}

export class AgentProcess implements AsyncDisposable {
  /** The exporters' reports after the start, before the first event. */
  started: Reports | undefined
  latest: Extract<Message, { is: 'report' }> | undefined
  stopped: Reports | undefined
  /** No event at or above this one was published. */
  publishing: number
  /** Why it ended by itself, or the error of a check of a report. */
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
    child.on('message', (message: Message) => this.#receive(message))
    child.on('error', (error) => (this.failure ??= error.message))
    // An error here means that it was killed before it read this.
    child.send({ do: 'run', yaml, epoch, from, eventsPerSecond } satisfies Order, () => undefined)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Waits until its exporters are started; rejects if they fail to start. */
  async whenStarted(): Promise<Reports> {
    await this.until('it has started', () => this.started !== undefined, START_MS)
    return this.started ?? {}
  }

  /** Waits for a condition on its reports; rejects if it ends or fails before. */
  async until(what: string, condition: () => boolean, deadlineMs: number): Promise<void> {
    await waitUntil(what, () => this.failure !== undefined || this.hasEnded || condition(), deadlineMs)
    this.check()
    if (!condition()) throw new Error(`the agent ended before ${what}: ${this.#stderr}`)
  }

  /** Throws the failure so far, if there is one. */
  check(): void {
    if (this.failure !== undefined) throw new Error(this.failure)
  }

  rate(eventsPerSecond: number): void {
    this.#child.send({ do: 'rate', eventsPerSecond } satisfies Order)
  }

  /** kill -9; resolves when all its messages are received. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  /** An orderly stop. */
  async stop(graceMs: number): Promise<Reports> {
    this.#child.send({ do: 'stop', graceMs } satisfies Order)
    await this.#ended
    this.check()
    if (this.stopped === undefined) throw new Error(`the agent ended without a report: ${this.#stderr}`)
    return this.stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasEnded) await this.kill()
  }

  #receive(message: Message): void {
    switch (message.is) {
      case 'started':
        this.started = message.exporters
        break
      case 'publishing':
        this.publishing = message.to
        break
      case 'report':
        this.latest = message
        this.#checkReport(message)
        break
      case 'stopped':
        this.stopped = message.exporters
        break
      case 'failed':
        this.failure ??= message.why
        break
    }
  }

  #checkReport(report: Extract<Message, { is: 'report' }>): void {
    try {
      for (const [name, { imbalance, accounting }] of Object.entries(report.exporters)) {
        if (imbalance !== 0)
          throw new Error(`the accounting of "${name}" is off by ${imbalance}: ${JSON.stringify(accounting)}`)
      }
      this.#options.onReport?.(report, this.started ?? {})
    } catch (error) {
      this.failure ??= error instanceof Error ? error.message : String(error)
    }
  }
}
