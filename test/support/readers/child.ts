/** The agent with its API (agent.ts) in a process of its own, started like the launcher starts it. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { launchOf } from '../launcher.ts'
import type { Order, Sample } from './agent.ts'

const PROGRAM = fileURLToPath(new URL('agent.ts', import.meta.url))

export class AgentWithApi implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#ended = once(child, 'exit').then(() => undefined)
  }

  /** Listens, and publishes nothing yet. `yaml`: its config, with `server` and `exporters`. */
  static async start(yaml: string): Promise<AgentWithApi> {
    const { flags, env } = launchOf()
    const agent = new AgentWithApi(fork(PROGRAM, [yaml], { execArgv: [...flags], env: { ...process.env, ...env } }))
    await agent.#answer()
    return agent
  }

  order(order: Order): Promise<Sample> {
    this.#child.send(order)
    return this.#answer()
  }

  async #answer(): Promise<Sample> {
    const ended = this.#ended.then(() => {
      throw new Error('the agent has ended: see its output above')
    })
    ended.catch(() => {})
    const [sample] = await Promise.race([once(this.#child, 'message'), ended])
    return sample
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#ended
  }
}
