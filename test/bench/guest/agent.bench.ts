/**
 * Cost of the whole agent on a real kernel: time from start to ready, with the kernel's part by object, and memory at rest. The guest's clock
 * counts instructions, so neither the machine nor its load changes a figure.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import { kernelBytes, perCpuBytes } from '../../support/measure/bpf-memory.ts'
import { POLICY, live } from './live-agent.ts'
import { COUNTED, QUICK, leaveOut, printResult, show } from '../support/result.ts'

if (!COUNTED) leaveOut('run it by make bench, which counts')

/** 10⁹ instructions a second. */
const MS = 'ms, 10⁶ instructions each'
/** A policy with many hooks: the kernel verifies and attaches the programs of each. */
const MANY_HOOKS = fileURLToPath(new URL('../../../config/policies/optional/file-integrity.yaml', import.meta.url))
const IDLE_MS = QUICK ? 5_000 : 20_000

function policyIn(file: string): Policy {
  const parsed = parsePolicy(readFileSync(file, 'utf8'), file)
  if ('problems' in parsed) throw new Error(`${file} has problems`)
  return parsed.policy
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
  const policy = policyIn(POLICY)
  done('policy: parse')
  const loaded = await kernel.policies.change([], [policy])
  inKernel = { bytes: kernelBytes(), perCpu: perCpuBytes() }
  await kernel.policies.change(loaded, [])
  done(`policy: load, attach and detach ${policy.hooks.length} hooks`)
  return took
}

const mb = (bytes: number): number => bytes / 1e6

/** Memory of the kernel's part with one policy. */
let inKernel = { bytes: Number.NaN, perCpu: Number.NaN }
const kernelParts = await parts()
await live(0) // fills caches, the page cache too
const { readyMs, memory } = await live(IDLE_MS)
const { residentBytes, privateBytes } = memory
const hooks = policyIn(POLICY).hooks.length
const manyHooks = policyIn(MANY_HOOKS).hooks.length
const many = await live(0, MANY_HOOKS)
printResult(
  'agent',
  [
    { name: 'private memory at rest', value: mb(privateBytes), unit: 'MB', atMost: 34 },
    { name: 'RSS at rest', value: mb(residentBytes), unit: 'MB', atMost: 90 },
    { name: 'kernel memory with one policy', value: inKernel.bytes / (1 << 20), unit: 'MiB', atMost: 24 },
    { name: 'of it on each CPU', value: inKernel.perCpu / (1 << 10), unit: 'KiB', atMost: 64 },
    { name: 'start to ready', value: readyMs, unit: MS, atMost: 15_000 },
    { name: 'start to ready, many hooks', value: many.readyMs, unit: MS },
    ...kernelParts.map(([name, ms]) => ({ name: `start: ${name}`, value: ms, unit: MS })),
  ],
  [
    {
      title: `The agent in a guest: RSS ${IDLE_MS / 1000} s after ready; a second of the start has 10⁹ instructions`,
      columns: [
        'RSS, MB',
        'of it private',
        'of it files and ring',
        `start with ${hooks} hooks, s`,
        `with ${manyHooks} hooks, s`,
      ],
      rows: [
        [
          show(mb(residentBytes)),
          show(mb(privateBytes)),
          show(mb(residentBytes - privateBytes)),
          show(readyMs / 1000, 1),
          show(many.readyMs / 1000, 1),
        ],
      ],
      notes: [
        `Parts of a start, in ms of 10⁶ instructions: ${kernelParts.map(([name, ms]) => `${name} ${show(ms)}`).join('; ')}.`,
        `The policies are file-monitoring.yaml with ${hooks} hooks, and file-integrity.yaml with ${manyHooks}.`,
        'The kernel can take back the pages of files (Node, addon).',
      ],
    },
  ],
)
