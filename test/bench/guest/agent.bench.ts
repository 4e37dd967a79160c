/**
 * Cost of the whole agent on a real kernel: time from start to ready, with the kernel's part by object; and memory, processor time and
 * wakeups when idle. It runs in a guest, whose emulated time is some ten times slower than a machine's: only ratios are meaningful.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { readKernelFacts } from '../../../collector/kernel/facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import { threadUse, usedBetween } from '../../support/idle.ts'
import { memoryOf } from '../../support/memory.ts'
import type { ProcessMemory } from '../../support/memory.ts'
import { QUICK, median, printResult, show } from '../support/result.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const POLICY = 'config/policies/file-monitoring.yaml'
const IDLE_MS = QUICK ? 5_000 : 20_000
/** Wait after the start: ended processes leave the table, garbage is collected, and V8 compiles the code that an idle agent runs. */
const QUIET_MS = 60_000
/** Length of a period for which idle use is reported. */
const IDLE_SECONDS = 20
/** One of three has a heartbeat. The least CPU counts: an emulated processor also counts time that the machine gave to others. */
const PERIODS = 3
const STARTS = QUICK ? 1 : 3
const READY_WITHIN_MS = 120_000

/** A variant of how the agent is started. */
interface Variant {
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
}

const folder = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
// Copies, because a guest gets no events about changes in folders of the machine, so the agent would poll them.
const policies = join(folder, 'policies')
mkdirSync(policies)
copyFileSync(join(ROOT, POLICY), join(policies, 'policy.yaml'))
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

interface IdleUse {
  readonly cpuMs: number
  readonly wakeups: number
}

/** Use of an idle agent in IDLE_SECONDS: the least CPU of the periods, and their average number of wakeups. */
async function idleUse(pid: number): Promise<IdleUse> {
  await setTimeout(QUIET_MS)
  let least = Infinity
  let wakeups = 0
  for (let i = 0; i < PERIODS; i++) {
    const before = threadUse(pid)
    await setTimeout(IDLE_SECONDS * 1000)
    const used = usedBetween(before, threadUse(pid))
    least = Math.min(
      least,
      used.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    )
    wakeups += used.reduce((sum, { switches }) => sum + switches, 0) / PERIODS
  }
  return { cpuMs: least, wakeups }
}

/** One run of an agent; its memory `idleMs` after it was ready. With `idle` also its use from then on. */
async function live(
  { environment }: Variant,
  idleMs: number,
  idle = false,
): Promise<{ readyMs: number; memory: ProcessMemory; use: IdleUse | undefined }> {
  const startMs = performance.now()
  const agent = spawn('./ktrail', ['run', '--config', config], {
    cwd: ROOT,
    env: { ...process.env, BENCH_FOLDER: folder, BENCH_POLICIES: policies, ...environment },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  const ended = new Promise((resolve) => agent.once('close', resolve))
  try {
    await ready(agent)
    const readyMs = performance.now() - startMs
    agent.stderr?.resume()
    await setTimeout(idleMs)
    const pid = agent.pid ?? 0
    const memory = memoryOf(pid)
    return { readyMs, memory, use: idle ? await idleUse(pid) : undefined }
  } finally {
    agent.kill('SIGTERM')
    await ended
  }
}

/** The parts of a start that depend on the kernel, in this process, which is as fast as the agent. */
async function parts(): Promise<ReadonlyArray<readonly [string, number]>> {
  const took: Array<readonly [string, number]> = []
  let last = performance.now()
  const done = (name: string): void => {
    took.push([name, performance.now() - last])
    last = performance.now()
  }
  const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
  done('addon and kernel symbols')
  using kernel = await KernelSide.open({
    facts,
    workloads: new Workloads(undefined),
    mode: 'auto',
    ringBytes: 16 << 20,
    watermarkBytes: 64 << 10,
    agentPid: process.pid,
  })
  done('process programs: load and attach')
  await scanProcfs('/proc')
  done('scan of /proc')
  const parsed = parsePolicy(readFileSync(join(ROOT, POLICY), 'utf8'), POLICY)
  if ('problems' in parsed) throw new Error(`${POLICY} has problems`)
  done('policy: parse')
  await kernel.policies.change(await kernel.policies.change([], [parsed.policy]), [])
  done(`policy: load, attach and detach ${parsed.policy.hooks.length} hooks`)
  return took
}

const mb = (bytes: number | undefined): number => (bytes ?? Number.NaN) / 1e6
const variants: Variant[] = [
  { name: 'as installed', environment: {} },
  { name: 'no compile cache', environment: { NODE_DISABLE_COMPILE_CACHE: '1' } },
]

const kernelParts = await parts()
let use: IdleUse | undefined
const rows: Array<{ name: string; readyMs: number; memory: ProcessMemory }> = []
for (const variant of variants) {
  await live(variant, 0) // fills caches, the page cache too
  const lives = []
  for (let i = 0; i < STARTS; i++) {
    const last = i === STARTS - 1
    lives.push(await live(variant, last ? IDLE_MS : 0, last && variant === variants[0]))
  }
  use ??= lives.at(-1)?.use
  const atRest = lives.at(-1)?.memory ?? { residentBytes: Number.NaN, privateBytes: Number.NaN }
  rows.push({ name: variant.name, readyMs: median(lives.map(({ readyMs }) => readyMs)), memory: atRest })
}

const installed = rows[0]
printResult(
  'agent',
  [
    { name: 'private memory at rest', value: mb(installed?.memory.privateBytes), unit: 'MB', atMost: 60 },
    { name: 'RSS at rest', value: mb(installed?.memory.residentBytes), unit: 'MB', atMost: 120 },
    {
      name: `processor time in ${IDLE_SECONDS} idle seconds`,
      value: use?.cpuMs ?? Number.NaN,
      unit: 'ms, emulated',
      atMost: 120,
    },
    { name: 'idle wakeups', value: (use?.wakeups ?? Number.NaN) / IDLE_SECONDS, unit: '/s', atMost: 5 },
    ...rows.map(({ name, readyMs }) => ({ name: `start to ready, ${name}`, value: readyMs, unit: 'ms, emulated' })),
    ...rows.map(({ name, memory }) => ({ name: `RSS at rest, ${name}`, value: mb(memory.residentBytes), unit: 'MB' })),
    ...kernelParts.map(([name, ms]) => ({ name: `start: ${name}`, value: ms, unit: 'ms, emulated' })),
  ],
  [
    {
      title: `The agent in a guest: RSS ${IDLE_MS / 1000} s after ready, start to ready in emulated time`,
      columns: ['', 'RSS, MB', 'of it private', 'of it files and ring', 'start to ready, s'],
      rows: rows.map(({ name, readyMs, memory: { residentBytes, privateBytes } }) => [
        name,
        show(mb(residentBytes)),
        show(mb(privateBytes)),
        show(mb(residentBytes - privateBytes)),
        show(readyMs / 1000, 1),
      ]),
      notes: [
        `Parts of a start, in emulated ms: ${kernelParts.map(([name, ms]) => `${name} ${show(ms)}`).join('; ')}.`,
        'The kernel can take back the pages of files (Node, addon).',
      ],
    },
  ],
)
