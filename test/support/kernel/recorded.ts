/** The real agent in this process, on a kernel that plays a recording again and again: for loads, and for measuring. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { startAgent } from '../../../collector/agent.ts'
import { createLog } from '../../../collector/host/log.ts'
import type { KernelFacts } from '../../../collector/plan/facts.ts'
import type { KernelCounts } from '../../../collector/kernel/port.ts'
import type { CallEnd } from '../../../collector/wire/decode.ts'
import type { RunningAgent } from '../../../collector/running.ts'
import { configOrThrow, parseConfigFile } from '../../../config/agent/check.ts'
import { MetricsPage } from '../../e2e/support/metrics.ts'
import { kernel as factsOf } from '../../unit/collector/support/facts.ts'
import { write } from '../../unit/collector/support/procfs.ts'
import type { Recording } from '../recording/recording.ts'
import { RecordedRing } from '../recording/ring.ts'
import type { RingOptions } from '../recording/ring.ts'
import { SYMBOLS, policyOf } from './functions.ts'
import { ReplayKernel } from './replay.ts'

/** Time for which the agent serves the same page. */
const PAGE_MS = 1_000
/** Clock ticks of /proc, in nanoseconds. */
const TICK_NS = 10_000_000n

class RecordedKernel extends ReplayKernel {
  override readonly ring: RecordedRing
  /** Resolves when all rounds are read. */
  readonly played: Promise<void>

  constructor({ bytes }: Pick<Recording, 'bytes'>, { facts = factsOf(6, 12), ends = [], ...ring }: PlayOptions) {
    super({ facts, symbols: SYMBOLS })
    let left = ring.rounds ?? Infinity
    const played = Promise.withResolvers<void>()
    this.played = played.promise
    const onRound = (): void => {
      if (--left > 0) return
      this.ends = { calls: ends, functions: [] }
      played.resolve()
    }
    this.ring = new RecordedRing(bytes, { ...ring, onRound })
  }

  override counts(): KernelCounts {
    return { ...super.counts(), taken: this.ring.records }
  }

  /** Makes the agent read the ring. */
  wake(): void {
    this.play(Buffer.alloc(0))
  }
}

export interface PlayOptions extends Omit<RingOptions, 'onRound'> {
  /** Default: those of 6.12. */
  readonly facts?: KernelFacts
  /** How calls ended, by the kernel's map: it reports them when all rounds are read. */
  readonly ends?: readonly CallEnd[]
}

export interface RecordedOptions extends PlayOptions {
  /** Fresh; the variable FOLDER of the config, and of this process. */
  readonly folder: string
  /** Keys of the config, at least `exporters`. */
  readonly yaml: string
  readonly recording: Pick<Recording, 'bytes' | 'processes'>
}

export class RecordedAgent {
  readonly agent: RunningAgent
  readonly kernel: RecordedKernel
  readonly #socket: string
  /** Time from which on the agent makes /metrics again. */
  #freshMs = 0

  private constructor(agent: RunningAgent, kernel: RecordedKernel, socket: string) {
    this.agent = agent
    this.kernel = kernel
    this.#socket = socket
  }

  static async start({ folder, yaml, recording, ...play }: RecordedOptions): Promise<RecordedAgent> {
    const at = (name: string): string => join(folder, name)
    for (const name of ['policies', 'proc', 'config.d']) mkdirSync(at(name))
    writeFileSync(at('policies/p.yaml'), policyOf('file-monitoring'))
    for (const { pid, parentPid, startNs, binary, argv, cwd, cgroup, kernelThread } of recording.processes) {
      const cmdline = `${argv}\0`
      const image = kernelThread ? { kernel: true, exe: undefined, cmdline: '' } : { exe: binary, cmdline }
      write(at('proc'), { pid, parent: parentPid, ticks: startNs / TICK_NS, cwd, cgroup: `0::${cgroup}\n`, ...image })
    }
    const socket = at('http.sock')
    const own = {
      policies: [at('policies')],
      procfs: at('proc'),
      state_dir: at('state'),
      server: { http: `unix://${socket}`, grpc: 'disabled' },
      log: { level: 'error' },
    }
    const configFile = at('config.yaml')
    writeFileSync(configFile, JSON.stringify(own))
    writeFileSync(at('config.d/load.yaml'), yaml)
    // The agent reads its config again when a file changes.
    process.env['FOLDER'] = folder
    const loaded = configOrThrow(await parseConfigFile(configFile, process.env))
    const kernel = new RecordedKernel(recording, play)
    const stop = new AbortController().signal
    const log = createLog(loaded.config.log)
    const agent = await startAgent({ loaded, configFile, log, stop, source: kernel.source })
    return new RecordedAgent(agent, kernel, socket)
  }

  /** A page made after this call: the agent makes it at most once a second, and serves the same one in between. */
  async metrics(): Promise<MetricsPage> {
    await setTimeout(Math.max(0, this.#freshMs - performance.now()))
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      get({ socketPath: this.#socket, path: '/metrics' }, resolve).on('error', reject)
    })
    const page = await text(answer)
    this.#freshMs = performance.now() + PAGE_MS
    return new MetricsPage(page)
  }
}
