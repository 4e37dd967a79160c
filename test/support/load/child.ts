/** The agent under a load (agent.ts) in a process of its own, started like the launcher starts it. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launchOf } from '../launcher.ts'
import type { Order, Sample } from './agent.ts'

const PROGRAM = fileURLToPath(new URL('agent.ts', import.meta.url))

export class LoadedAgent implements AsyncDisposable {
  readonly #folder: string
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  private constructor(folder: string, child: ChildProcess) {
    this.#folder = folder
    this.#child = child
    this.#ended = once(child, 'exit').then(() => undefined)
  }

  /** Listens, and plays nothing yet. `yaml`: keys of its config, at least `exporters`. `env`: variables beside those of the launcher. */
  static async start(yaml: string, env: Readonly<Record<string, string>> = {}): Promise<LoadedAgent> {
    const launch = launchOf()
    const folder = mkdtempSync(join(tmpdir(), 'ktrail-load-'))
    const options = { execArgv: [...launch.flags], env: { ...process.env, ...launch.env, ...env } }
    const agent = new LoadedAgent(folder, fork(PROGRAM, [folder, yaml], options))
    await agent.#answer()
    return agent
  }

  /** Records per second from now on; Infinity is as fast as the exporters accept them. */
  async rate(perSecond: number): Promise<void> {
    await this.#order({ do: 'rate', perSecond: perSecond === Infinity ? null : perSecond })
  }

  /** `collect`: collects garbage first. */
  sample({ collect = false } = {}): Promise<Sample> {
    return this.#sampled({ do: collect ? 'collect' : 'sample' })
  }

  /** Delivers the held events, and ends. The sample is taken just before. */
  stop(): Promise<Sample> {
    return this.#sampled({ do: 'stop' })
  }

  async #sampled(order: Order): Promise<Sample> {
    return (await this.#order(order)) ?? Promise.reject(new Error(`no sample came for the order "${order.do}"`))
  }

  #order(order: Order): Promise<Sample | null> {
    this.#child.send(order)
    return this.#answer()
  }

  async #answer(): Promise<Sample | null> {
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
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
