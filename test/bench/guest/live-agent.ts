/** An installed agent in a guest: its start, its memory, and what it uses while nothing happens. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { threadUse, usedBetween } from '../../support/idle.ts'
import { memoryOf } from '../../support/memory.ts'
import type { ProcessMemory } from '../../support/memory.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const POLICY = join(ROOT, 'config/policies/optional/file-monitoring.yaml')
/** Wait after the start: ended processes leave the table, garbage is collected, and V8 compiles the code that an idle agent runs. */
const QUIET_MS = 60_000
/** Length of a period for which idle use is reported. */
export const IDLE_SECONDS = 20
/** One of three has a heartbeat. The least CPU counts: an emulated processor also counts time that the machine gave to others. */
const PERIODS = 3
const READY_WITHIN_MS = 120_000

const folder = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
// Copies, because a guest gets no events about changes in folders of the machine, so the agent would poll them.
const policies = join(folder, 'policies')
mkdirSync(policies)
const config = join(folder, 'bench.yaml')
copyFileSync(join(ROOT, 'test/bench/support/bench.yaml'), config)

/** Waits for this message in the agent's log. */
async function ready(agent: ChildProcess): Promise<void> {
  if (agent.stderr === null) throw new Error('the agent has no standard error')
  const late = AbortSignal.timeout(READY_WITHIN_MS)
  const output: string[] = []
  for await (const line of createInterface({ input: agent.stderr, signal: late })) {
    output.push(line)
    if (line.includes('"msg":"ready"')) return
  }
  throw new Error(`the agent was not ready within ${READY_WITHIN_MS} ms: it output ${output.join('\n')}`)
}

/** An agent that is ready, `readyMs` after its start. It is stopped when disposed of. */
export class Started implements AsyncDisposable {
  readonly agent: ChildProcess
  readonly readyMs: number
  readonly #ended: Promise<unknown>

  private constructor(agent: ChildProcess, readyMs: number) {
    this.agent = agent
    this.readyMs = readyMs
    this.#ended = new Promise((resolve) => agent.once('close', resolve))
  }

  get pid(): number {
    return this.agent.pid ?? 0
  }

  static async start(file: string, environment: NodeJS.ProcessEnv): Promise<Started> {
    const startMs = performance.now()
    const agent = spawn('./ktrail', ['run', '--config', file], {
      cwd: ROOT,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    try {
      await ready(agent)
    } catch (error) {
      agent.kill('SIGKILL')
      throw error
    }
    agent.stderr?.resume()
    return new Started(agent, performance.now() - startMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.kill('SIGTERM')
    await this.#ended
  }
}

function start(policy = POLICY): Promise<Started> {
  copyFileSync(policy, join(policies, 'policy.yaml'))
  return Started.start(config, { BENCH_FOLDER: folder, BENCH_POLICIES: policies })
}

/** One run of an agent with this policy; its memory `idleMs` after it was ready. */
export async function live(idleMs: number, policy = POLICY): Promise<{ readyMs: number; memory: ProcessMemory }> {
  await using started = await start(policy)
  await setTimeout(idleMs)
  return { readyMs: started.readyMs, memory: memoryOf(started.pid) }
}

/** Use of an idle agent in IDLE_SECONDS: the least CPU of the periods, and their average number of wakeups. */
export async function idleUse(): Promise<{ readonly cpuMs: number; readonly wakeups: number }> {
  await using started = await start()
  await setTimeout(QUIET_MS)
  let least = Infinity
  let wakeups = 0
  for (let i = 0; i < PERIODS; i++) {
    const before = threadUse(started.pid)
    await setTimeout(IDLE_SECONDS * 1000)
    const used = usedBetween(before, threadUse(started.pid))
    least = Math.min(
      least,
      used.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    )
    wakeups += used.reduce((sum, { switches }) => sum + switches, 0) / PERIODS
  }
  return { cpuMs: least, wakeups }
}
