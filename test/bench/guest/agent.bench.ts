/**
 * What does the whole agent cost on a real kernel: time from start to ready, with the kernel's part by object, and memory
 * when idle? In a guest, whose emulated time is some ten times slower than a machine's: only ratios are meaningful.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { readKernelFacts } from '../../../collector/kernel/facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { kernelFunctions, kernelSymbols } from '../../../native/index.ts'
import { memoryOf } from '../../support/memory.ts'
import type { ProcessMemory } from '../../support/memory.ts'
import { QUICK, median, printResult, show } from '../support/result.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const POLICY = 'config/policies/file-monitoring.yaml'
const CONFIG = 'test/bench/support/bench.yaml'
const IDLE_MS = QUICK ? 5_000 : 20_000
const STARTS = QUICK ? 1 : 3
const READY_WITHIN_MS = 120_000

/** A variant of how the agent is started. */
interface Variant {
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
}

const folder = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

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

/** One run of an agent; its memory `idleMs` after it was ready. */
async function live({ environment }: Variant, idleMs: number): Promise<{ readyMs: number; memory: ProcessMemory }> {
  const startMs = performance.now()
  const agent = spawn('./ktrail', ['run', '--config', CONFIG], {
    cwd: ROOT,
    env: { ...process.env, BENCH_FOLDER: folder, ...environment },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  const ended = new Promise((resolve) => agent.once('close', resolve))
  try {
    await ready(agent)
    const readyMs = performance.now() - startMs
    agent.stderr?.resume()
    await setTimeout(idleMs)
    return { readyMs, memory: memoryOf(agent.pid ?? 0) }
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
  const facts = await readKernelFacts(kernelSymbols, kernelFunctions)
  done('addon and kernel symbols')
  using kernel = await KernelSide.open({
    facts,
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
const cache = join(folder, 'cache')
const variants: Variant[] = [
  { name: 'as installed', environment: {} },
  { name: 'compile cache, warm', environment: { NODE_COMPILE_CACHE: cache } },
  { name: 'no compile cache', environment: { NODE_DISABLE_COMPILE_CACHE: '1' } },
]

const kernelParts = await parts()
const rows: Array<{ name: string; readyMs: number; memory: ProcessMemory }> = []
for (const variant of variants) {
  await live(variant, 0) // fills caches, the page cache too
  const lives = []
  for (let i = 0; i < STARTS; i++) lives.push(await live(variant, i === STARTS - 1 ? IDLE_MS : 0))
  const atRest = lives.at(-1)?.memory ?? { residentBytes: Number.NaN, privateBytes: Number.NaN }
  rows.push({ name: variant.name, readyMs: median(lives.map(({ readyMs }) => readyMs)), memory: atRest })
}

const installed = rows[0]
printResult(
  'agent',
  [
    { name: 'private memory at rest', value: mb(installed?.memory.privateBytes), unit: 'MB', atMost: 60 },
    { name: 'RSS at rest', value: mb(installed?.memory.residentBytes), unit: 'MB', atMost: 120 },
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
        'Files are Node itself and the addon, shared with other Node processes, and the ring. The kernel takes back pages of files when it needs them.',
      ],
    },
  ],
)
