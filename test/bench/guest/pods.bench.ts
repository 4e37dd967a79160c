/**
 * Cost of policies for pods on a full node: 1,000 pods of two containers each, and 200 policies that each select some of them. Measures
 * memory and the time of a start and of changes. Also measures ns per call by the kernel's own statistics: in a pod that a policy does not
 * select, beside a program that does nothing. The fastest of some alternating rounds counts. Runs in a guest with one CPU.
 */
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { podOf } from '../../../collector/identity/pod-object.ts'
import type { KnownPod } from '../../../collector/identity/pod-object.ts'
import { Pods } from '../../../collector/identity/pods.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { closed, kernelFunctions, kernelSymbols, openObject, realTime } from '../../../native/index.ts'
import type { Link } from '../../../native/types.ts'
import { nsPerCall } from '../support/kernel.ts'
import { Reader, compileEmpty } from '../support/pread.ts'
import { QUICK, printResult, show } from '../support/result.ts'

const PODS = 1_000
const POLICIES = 200
const CONTAINERS = ['main', 'side'] as const
const ROUNDS = QUICK ? 2 : 4
const BATCHES = 10
const CALLS = QUICK ? 500 : 2_000
const SYMBOL = 'security_file_permission'
const TOP = '/sys/fs/cgroup/kubepods-bench'
const MB = 1e6

const uidOf = (n: number): string => `1c9a7f0e-5f6d-4a6e-9a55-${String(n).padStart(12, '0')}`
const idOf = (n: number, container: number): string => `${n}a${container}b`.padEnd(64, '0123456789abcdef')

/** A pod as the API server has it; the agent keeps a part of it. */
const objectOf = (n: number, app = `app-${n % POLICIES}`): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `app-${n % POLICIES}-7d9f8c-${n}`,
      namespace: `team-${n % 20}`,
      uid: uidOf(n),
      resourceVersion: String(1000 + n),
      labels: { app, 'app.kubernetes.io/part-of': `shop-${n % 20}`, 'pod-template-hash': '7d9f8c' },
      annotations: { note: 'y'.repeat(4000) },
      ownerReferences: [{ kind: 'ReplicaSet', name: `app-${n % POLICIES}-7d9f8c`, controller: true }],
    },
    spec: { containers: CONTAINERS.map((name) => ({ name, image: `registry.example/shop/${name}:1.${n}` })) },
    status: {
      containerStatuses: CONTAINERS.map((name, i) => ({
        name,
        containerID: `containerd://${idOf(n, i)}`,
        image: `registry.example/shop/${name}:1.${n}`,
        imageID: `registry.example/shop/${name}@sha256:${'c'.repeat(64)}`,
        state: { running: { startedAt: '2026-04-14T02:17:40Z' } },
      })),
    },
  })
const podsOf = (): KnownPod[] => Array.from({ length: PODS }, (_, n) => podOf(JSON.parse(objectOf(n))))

function policyFor(n: number): Policy {
  const parsed = parsePolicy(
    `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: bench-${n} }
spec:
  podSelector: { matchLabels: { app: app-${n} } }
  kprobes:
    - call: ${SYMBOL}
      syscall: false
      return: true
      args: [{ index: 0, type: file }, { index: 1, type: int }]
      returnArg: { index: 0, type: int }
      selectors: [{ matchArgs: [{ index: 0, operator: Prefix, values: ["/etc/"] }] }]
`,
    'bench.yaml',
  )
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  return parsed.policy
}

/** Heap after garbage collection; the bench runs with --expose-gc. */
function heap(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

async function timed<T>(work: () => T | Promise<T>): Promise<{ readonly ms: number; readonly result: T }> {
  const startMs = performance.now()
  const result = await work()
  return { ms: performance.now() - startMs, result }
}

/** Deepest first. */
const made: string[] = []
for (let n = 0; n < PODS; n++) {
  for (const folder of CONTAINERS.map((_, i) => join(TOP, `pod${uidOf(n)}`, idOf(n, i)))) {
    mkdirSync(folder, { recursive: true })
    made.push(folder)
  }
  made.push(join(TOP, `pod${uidOf(n)}`))
}
made.push(TOP)

const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
const policies = Array.from({ length: POLICIES }, (_, n) => policyFor(n))
const pods = new Pods()
const reader = await Reader.start(['/tmp/x'])
const workloads = new Workloads(pods)
const kernel = await KernelSide.open({
  facts,
  mode: 'auto',
  ringBytes: 1 << 20,
  watermarkBytes: 1 << 19,
  agentPid: process.pid,
  workloads,
})

podsOf() // Code that is compiled and cached once is not memory of the pods.
const before = heap()
const scan = await timed(() => workloads.scan('/proc'))
const ofCgroups = heap() - before
const loaded = await timed(() => kernel.policies.change([], policies))
const bare = heap()
const known = await timed(() => {
  for (const pod of podsOf()) pods.set(pod, undefined)
})
const ofPods = heap() - bare
/** Each time the pod gets the label of another policy. */
const change = await timed(() => {
  for (let i = 0; i < 100; i++) {
    const n = (i * 7) % PODS
    pods.set(podOf(JSON.parse(objectOf(n, `app-${(n + 1) % POLICIES}`))), undefined)
  }
})
const further = await timed(() => kernel.policies.change([], [policyFor(POLICIES)]))
await kernel.policies.change([...loaded.result, ...further.result], [])

// The program runs in a container of pod 0, and the policy selects pods of another app.
writeFileSync(join(TOP, `pod${uidOf(0)}`, idOf(0, 0), 'cgroup.procs'), String(reader.pid))
const perCall = (links: readonly Link[]): Promise<number> =>
  nsPerCall(links, BATCHES * CALLS, () => reader.measure(0, BATCHES, CALLS))
const emptyObject = compileEmpty()
const cost = { empty: Infinity, one: Infinity, many: Infinity }
for (let round = 0; round < ROUNDS; round++) {
  const object = await openObject(emptyObject, { programs: [{ name: 'empty_fexit', kind: 'fexit', target: SYMBOL }] })
  const link = await object.attach('empty_fexit', [])
  cost.empty = Math.min(cost.empty, await perCall([link]))
  link.close()
  object.close()
  await closed()
  for (const [name, wanted] of [
    ['one', policies.slice(2, 3)],
    ['many', policies.slice(2)],
  ] as const) {
    const attached = await kernel.policies.change([], wanted)
    cost[name] = Math.min(cost[name], await perCall(kernel.policies.links))
    await kernel.policies.change(attached, [])
  }
}
kernel[Symbol.dispose]()
await reader.end()
for (const folder of made) rmdirSync(folder)

printResult(
  'pods',
  [
    { name: '1,000 pods of two containers', value: ofPods / MB, unit: 'MB of heap', atMost: 10 },
    {
      name: 'a policy for other pods, in a pod, above an empty fexit',
      value: cost.one - cost.empty,
      unit: 'ns',
      atMost: 60,
    },
    { name: 'cgroups of 1,000 pods', value: ofCgroups / MB, unit: 'MB of heap' },
    { name: 'a pod changes, beside 200 policies', value: change.ms / 100, unit: 'ms, emulated' },
  ],
  [
    {
      title: '1,000 pods of two containers, 200 policies for some of them',
      columns: ['', 'emulated ms', 'heap, MB'],
      rows: [
        [`start: ${show(made.length)} cgroups are found`, show(scan.ms), show(ofCgroups / MB, 1)],
        [`start: ${show(POLICIES)} policies are loaded`, show(loaded.ms), ''],
        [`start: the pods come from the API server`, show(known.ms), show(ofPods / MB, 1)],
        ['a pod changes', show(change.ms / 100, 1), ''],
        ['one more policy', show(further.ms), ''],
      ],
      notes: ['An object of the API server has 5 kB here, of which the agent keeps a part.'],
    },
    {
      title: `A policy for other pods: ns per call of ${SYMBOL} in a pod`,
      columns: ['', 'ns'],
      rows: [
        ['empty program, fexit', show(cost.empty)],
        ['1 policy', show(cost.one)],
        [`${show(POLICIES - 2)} policies`, show(cost.many)],
      ],
      notes: ['By the kernel’s statistics, the fastest of the rounds.'],
    },
  ],
)
