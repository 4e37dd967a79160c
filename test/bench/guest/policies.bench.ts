/**
 * Cost of many policies, or of many values of one policy, to the watched program. Each policy has a prefix on security_file_permission;
 * the file is outside of all prefixes. A program that does nothing runs beside them. ns per run by the kernel's own statistics (which add
 * some 85 ns): the fastest of some alternating rounds. Memory as the kernel accounts it to maps and programs. Runs in a guest with
 * one CPU.
 */
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { Pods } from '../../../collector/identity/pods.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { closed, kernelFunctions, kernelSymbols, openObject, realTime } from '../../../native/index.ts'
import type { LoadedPolicy } from '../../../collector/plan/plan.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import type { Link } from '../../../native/types.ts'
import { kernelBytes } from '../../support/measure/bpf-memory.ts'
import { nsPerCall } from '../support/kernel.ts'
import { Reader, compileEmpty } from '../support/pread.ts'
import { QUICK, printResult, show } from '../support/result.ts'
import type { Measure } from '../support/result.ts'

const ROUNDS = QUICK ? 2 : 3
const BATCHES = 10
const CALLS = QUICK ? 500 : 2_000
const FILES = ['/tmp/x', '/tmp/d/3/4/5/6/7/8/9/10/11/12/13/14/15/x', '/etc/near'] as const
const CALL = 'security_file_permission'
/** Functions of policies with five hooks. */
const FIVE = [CALL, 'security_file_open', 'security_mmap_file', 'security_file_lock', 'security_file_ioctl'] as const
const COLUMNS = ['shallow', '16 deep', 'near a value'] as const

interface Case {
  readonly name: string
  readonly policies: number
  /** Values of each policy's filter. */
  readonly values: number
  /** Each is for pods with a label of its own; the program runs in none. */
  readonly pods?: true
}

const CASES: readonly Case[] = [
  { name: '1 policy, 1 prefix', policies: 1, values: 1 },
  { name: '10 policies', policies: 10, values: 1 },
  { name: '200 policies', policies: 200, values: 1 },
  { name: '1 policy, 8 prefixes', policies: 1, values: 8 },
  { name: '1 policy, 64 prefixes', policies: 1, values: 64 },
  { name: '1 policy, 1,000 prefixes', policies: 1, values: 1000 },
  { name: '1 policy for other pods', policies: 1, values: 1, pods: true },
  { name: '200 policies for other pods', policies: 200, values: 1, pods: true },
]

/** One hook on each of `calls`. */
function policyOf(number: number, values: number, calls: readonly string[] = [CALL], pods = false): Policy {
  const wanted = Array.from({ length: values }, (_, i) => `/etc/watched-${number}/folder-${i}/`)
  const kprobe = (call: string): string => `
    - call: ${call}
      syscall: false
      return: true
      args: [{ index: 0, type: file }${call === CALL ? ', { index: 1, type: int }' : ''}]
      returnArg: { index: 0, type: int }
      selectors: [{ matchArgs: [{ index: 0, operator: Prefix, values: ${JSON.stringify(wanted)} }] }]`
  const parsed = parsePolicy(
    `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: bench-${number} }
spec:
${pods ? `  podSelector: { matchLabels: { app: app-${number} } }\n` : ''}  kprobes:${calls.map(kprobe).join('')}
`,
    'bench.yaml',
  )
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  return parsed.policy
}

interface Result {
  ran: number[]
  loadMs: number
  bytes: number
}

const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
using reader = await Reader.start(FILES)
const workloads = new Workloads(new Pods())
using kernel = await KernelSide.open({
  facts,
  mode: 'auto',
  ringBytes: 1 << 20,
  watermarkBytes: 1 << 19,
  agentPid: process.pid,
  workloads,
})
await workloads.scan('/proc')
const results = new Map<string, Result>()
const empty = kernelBytes()
const perFile = async (links: readonly Link[]): Promise<number[]> => {
  const ran: number[] = []
  for (const file of FILES.keys()) {
    ran.push(await nsPerCall(links, BATCHES * CALLS, () => reader.measure(file, BATCHES, CALLS)))
  }
  return ran
}
const least = (some: readonly number[], others: readonly number[] = []): number[] =>
  some.map((ns, i) => Math.min(ns, others[i] ?? Infinity))
const emptyObject = compileEmpty()
let floor: number[] = []
for (let round = 0; round < ROUNDS; round++) {
  const object = await openObject(emptyObject, { programs: [{ name: 'empty_fexit', kind: 'fexit', target: CALL }] })
  const link = await object.attach('empty_fexit', [])
  floor = least(await perFile([link]), floor)
  link.close()
  object.close()
  await closed()
  for (const { name, policies, values, pods } of CASES) {
    const wanted = Array.from({ length: policies }, (_, i) => policyOf(i, values, [CALL], pods))
    const startMs = performance.now()
    const loaded = await kernel.policies.change([], wanted)
    const loadMs = performance.now() - startMs
    const bytes = kernelBytes() - empty
    const ran = await perFile(kernel.policies.links)
    await kernel.policies.change(loaded, [])
    const before = results.get(name)
    results.set(name, {
      ran: least(ran, before?.ran),
      loadMs: Math.min(loadMs, before?.loadMs ?? Infinity),
      bytes,
    })
  }
}

/** The least time of some changes that load policies of five hooks; each is undone. */
const loads = { one: Infinity, many: Infinity, more: Infinity }
for (let round = 0; round < ROUNDS; round++) {
  const timed = async (what: keyof typeof loads, add: readonly Policy[]): Promise<LoadedPolicy[]> => {
    const startMs = performance.now()
    const loaded = await kernel.policies.change([], add)
    loads[what] = Math.min(loads[what], performance.now() - startMs)
    return loaded
  }
  await kernel.policies.change(await timed('one', [policyOf(0, 1, FIVE)]), [])
  const many = Array.from({ length: 200 }, (_, i) => policyOf(i, 1, FIVE))
  const loaded = await timed('many', many)
  loaded.push(...(await timed('more', [policyOf(200, 1, FIVE)])))
  await kernel.policies.change(loaded, [])
}

const of = (name: string): Result => results.get(name) ?? { ran: [], loadMs: NaN, bytes: NaN }
const one = of('1 policy, 1 prefix')
const ratio = (name: string, column: number): number => (of(name).ran[column] ?? NaN) / (one.ran[column] ?? NaN)
const measures: Measure[] = CASES.slice(1).map(({ name, policies, pods }) => ({
  name: `miss with ${name} ÷ 1 policy, 1 prefix`,
  value: ratio(name, 0),
  unit: '×',
  // One look-up, and no path.
  atMost: pods ? 1 : policies > 1 ? 1.3 : 1.2,
}))
measures.push({
  name: 'kernel memory of a further policy',
  value: (of('200 policies').bytes - one.bytes) / 199 / (1 << 20),
  unit: 'MiB',
  atMost: 0.1,
})
for (const [name, value] of [
  ['load a policy of 5 hooks', loads.one],
  ['load 200 policies of 5 hooks', loads.many],
  ['load one more beside 200', loads.more],
] as const) {
  measures.push({ name, value, unit: 'ms, emulated' })
}
printResult('policies', measures, [
  {
    title: 'Many policies, many values: ns per call that does not match, security_file_permission',
    columns: ['', ...COLUMNS, 'load and attach, ms', 'kernel memory, KiB'],
    rows: [
      ['empty program, fexit', ...floor.map((ns) => show(ns, 0)), '', ''],
      ...CASES.map(({ name }) => {
        const { ran, loadMs, bytes } = of(name)
        return [name, ...ran.map((ns) => show(ns, 0)), show(loadMs, 0), show(bytes / 1024, 0)]
      }),
    ],
    notes: [
      'By the kernel’s statistics, the fastest of the rounds. The file near a value is in the folder of all values.',
    ],
  },
])
