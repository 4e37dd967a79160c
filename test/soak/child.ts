/** The agent of the soak (agent.ts) in a process of its own, started like the launcher starts it. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { launchOf } from '../support/launcher.ts'
import type { Order, Message, Sample } from './protocol.ts'

const PROGRAM = fileURLToPath(new URL('agent.ts', import.meta.url))
const CACHE = fileURLToPath(new URL('../../build/compile-cache', import.meta.url))

export class AgentProcess implements AsyncDisposable {
  readonly samples: Sample[] = []
  readonly #child: ChildProcess
  readonly #loaded: Promise<void>
  readonly #ended: Promise<void>
  #stopped = false

  private constructor(child: ChildProcess, onSample: (sample: Sample) => void) {
    this.#child = child
    // Its last messages come before the disconnect.
    this.#ended = Promise.all([once(child, 'exit'), once(child, 'disconnect')]).then(() => undefined)
    this.#loaded = new Promise((resolve) => {
      child.on('message', (message: Message) => {
        if (message.is === 'loaded') return resolve()
        this.#stopped = message.is === 'stopped'
        this.samples.push(message.sample)
        onSample(message.sample)
      })
    })
  }

  /** Loads everything but starts nothing. The second time V8 has the compiled modules, as with the launcher's cache. */
  static async load(onSample: (sample: Sample) => void): Promise<AgentProcess> {
    const { flags, env } = launchOf()
    const options = { execArgv: [...flags], env: { ...env, ...process.env, NODE_COMPILE_CACHE: CACHE } }
    const agent = new AgentProcess(fork(PROGRAM, [], options), onSample)
    await Promise.race([agent.#loaded, agent.#ended])
    agent.check()
    return agent
  }

  run(yaml: string, epoch: string, eventsPerSecond: number): void {
    this.#order({ do: 'run', yaml, epoch, eventsPerSecond })
  }

  /** Stops publishing events. */
  pause(): void {
    this.#order({ do: 'pause' })
  }

  /** Resolves with the last sample. */
  async stop(graceMs: number): Promise<Sample> {
    this.#order({ do: 'stop', graceMs })
    await this.#ended
    const last = this.samples.at(-1)
    if (!this.#stopped || last === undefined)
      throw new Error('the agent ended without a last sample: see its output above')
    return last
  }

  /** Throws if it has ended. */
  check(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      throw new Error('the agent has ended: see its output above')
  }

  #order(order: Order): void {
    this.#child.send(order)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#ended
  }
}
