/**
 * Records real ring bytes: runs in a guest (or as root on a kernel with kprobes), loads the process programs and one
 * policy, runs workload.sh and keeps every record.
 *
 *   test/support/guest/run.sh 6.12 -- node test/support/recording/record.ts
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import { readKernelFacts } from '../../../collector/kernel/facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { chunks } from '../../../collector/ingest/source.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { clockOffset, kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import { saveRecording } from './recording.ts'

const WATERMARK_BYTES = 1 << 20

/** As config/policies/file-monitoring.yaml, with more folders: a wider mix of paths. */
const PREFIXES = '["/etc/", "/usr/lib/", "/usr/share/"]'
const CALLS = [
  { call: 'security_file_permission', args: ['file', 'int'] },
  { call: 'security_mmap_file', args: ['file', 'uint32', 'nop'] },
  { call: 'security_path_truncate', args: ['path'] },
]

const POLICY = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: file-monitoring }
spec:
  kprobes:
${CALLS.map(
  ({ call, args }) => `    - call: ${call}
      syscall: false
      return: true
      args: [${args.map((type, index) => `{ index: ${index}, type: ${type} }`).join(', ')}]
      returnArg: { index: 0, type: int }
      selectors: [{ matchArgs: [{ index: 0, operator: Prefix, values: ${PREFIXES} }] }]
`,
).join('')}`

const parsed = parsePolicy(POLICY, 'recording.yaml')
if ('problems' in parsed) throw new Error(parsed.problems.map(formatProblem).join('\n'))
const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
using kernel = await KernelSide.open({
  facts,
  workloads: new Workloads(undefined),
  mode: 'auto',
  ringBytes: 64 << 20,
  watermarkBytes: WATERMARK_BYTES,
  agentPid: process.pid,
})
const scanned = await scanProcfs('/proc')
for (const { pid, startNs, parentPid } of scanned) kernel.seedProcess(pid, startNs, parentPid)
const [loaded] = await kernel.policies.change([], [parsed.policy])

const startMs = performance.now()
const stopping = new AbortController()
const workload = spawn(fileURLToPath(new URL('workload.sh', import.meta.url)), { stdio: 'inherit' })
workload.on('close', () => stopping.abort())
const kept: Buffer[] = []
const watch = (wake: () => void): Disposable => kernel.watch(wake)
const source = chunks({ ring: kernel.ring, watch, maxDelayMs: 50, watermarkBytes: WATERMARK_BYTES }, stopping.signal)
for await (const { bytes, length } of source) kept.push(Buffer.from(bytes.subarray(0, length)))
const { taken, counters } = kernel.counts()
const lost = counters.ring_full_hook + counters.ring_full_process
if (lost > 0) throw new Error(`the ring refused ${lost} of ${taken} records: expected none, use a larger ring`)

const folder = saveRecording({
  source: `recorded on ${facts.release}`,
  bytes: Buffer.concat(kept),
  hooks: (loaded?.hooks ?? []).map(({ hook, spec }) => ({
    hook,
    args: spec.args.map(({ index, type }) => ({ index, type: type.name })),
    returned: spec.returnArg?.type.name ?? 'nop',
  })),
  processes: scanned,
  clockOffsetNs: clockOffset(),
  spanMs: performance.now() - startMs,
})
console.log(`${taken} records written to ${folder}`)
