/**
 * Records real ring bytes in a guest (or as root on a kernel with kprobes). Loads the process programs and one policy,
 * runs a workload and keeps every record. By itself it runs workload.sh, for the benches:
 *
 *   test/support/guest/run.sh 6.12 -- node test/support/recording/record.ts
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { chunks } from '../../../collector/ingest/source.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { clockOffset, kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import type { CallEnd } from '../../../collector/wire/decode.ts'
import { policyOf } from '../kernel/functions.ts'
import { saveRecording } from './recording.ts'
import type { Recording } from './recording.ts'

const WATERMARK_BYTES = 1 << 20

/** Beside a recording: how calls ended that the ring does not report. */
export interface Recorded extends Recording {
  readonly ends: readonly CallEnd[]
  /** The process of the workload. */
  readonly pid: number
}

/** Records while `command` runs. `prefixes`: the paths of the files whose accesses are recorded. */
export async function record(command: readonly string[], prefixes: readonly string[]): Promise<Recorded> {
  const parsed = parsePolicy(policyOf('file-monitoring', prefixes), 'recording.yaml')
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
  const ends: CallEnd[] = []
  const [program = '', ...words] = command
  const workload = spawn(program, words, { stdio: 'inherit' })
  workload.on('close', () => stopping.abort())
  const kept: Buffer[] = []
  const watch = (wake: () => void): Disposable => kernel.watch(wake)
  const onEmpty = (): void => void ends.push(...kernel.policies.takeEnds().calls)
  const reading = { ring: kernel.ring, watch, maxDelayMs: 50, watermarkBytes: WATERMARK_BYTES, onEmpty }
  const source = chunks(reading, stopping.signal)
  for await (const { bytes, length } of source) kept.push(Buffer.from(bytes.subarray(0, length)))
  const { taken, counters } = kernel.counts()
  const lost = counters.ring_full_hook + counters.ring_full_process
  if (lost > 0) throw new Error(`the ring refused ${lost} of ${taken} records: expected none, use a larger ring`)

  return {
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
    ends,
    pid: workload.pid ?? 0,
  }
}

if (import.meta.main) {
  const workload = fileURLToPath(new URL('workload.sh', import.meta.url))
  // config/policies/optional/file-monitoring.yaml with more folders: a wider mix of paths.
  const { ends: _ends, pid: _pid, ...recording } = await record([workload], ['/etc/', '/usr/lib/', '/usr/share/'])
  console.log(`${recording.bytes.length} bytes of records written to ${saveRecording(recording)}`)
}
