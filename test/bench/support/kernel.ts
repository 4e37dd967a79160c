/** The kernel side of the agent, and the kernel's data about programs and maps that this process holds. */
import type { KernelFacts } from '../../../collector/plan/facts.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import type { AttachMode } from '../../../collector/plan/plan.ts'
import { descriptors, field } from '../../support/measure/bpf-memory.ts'
import { keepStatistics } from '../../support/measure/statistics.ts'
import type { Link } from '../../../native/types.ts'

/**
 * A kernel side with room for 64 MiB of records, whose next policies are attached in the mode that `mode` returns. It has the process `pid`, as
 * the agent has all that ran before it.
 */
export async function openKernel(
  facts: KernelFacts,
  mode: () => AttachMode | 'auto',
  pid: number,
): Promise<KernelSide> {
  const kernel = await KernelSide.open({
    facts,
    workloads: new Workloads(undefined),
    get mode() {
      return mode()
    },
    ringBytes: 64 << 20,
    watermarkBytes: 1 << 20,
    agentPid: process.pid,
  })
  kernel.seedProcess(pid, 1n, process.pid)
  return kernel
}

/** Instructions that the verifier processed, by program id. */
export function verified(): Map<number, number> {
  return new Map(
    descriptors('self')
      .map((text) => [field(text, 'prog_id'), field(text, 'verified_insns')] as const)
      .filter(([, count]) => Number.isInteger(count)),
  )
}

/** Sum for the programs that were loaded since. */
export function verifiedSince(before: ReadonlyMap<number, number>): number {
  return [...verified()].reduce((sum, [id, count]) => sum + (before.has(id) ? 0 : count), 0)
}

/** Run time of the programs behind `links` per call, by the kernel's statistics, which add some 85 ns to each run. `work` makes `calls` calls. */
export async function nsPerCall(links: readonly Link[], calls: number, work: () => Promise<unknown>): Promise<number> {
  using _stats = keepStatistics()
  const runNs = (): bigint => links.reduce((sum, link) => sum + link.stats().runNs, 0n)
  const start = runNs()
  await work()
  return Number(runNs() - start) / calls
}
