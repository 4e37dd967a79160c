/** The kernel's side as the agent's config has it. */
import { asksForDetails, ringWatermarkBytes } from '../../config/agent/effective.ts'
import type { Config } from '../../config/agent/schema.ts'
import { kernelFunctions, kernelSymbols, realTime } from '../../native/index.ts'
import type { Log } from '../host/log.ts'
import type { WorkloadSource } from './conditions/workload-entries.ts'
import { readKernelFacts } from './facts.ts'
import type { KernelFacts } from './facts.ts'
import { lackingFeatures } from './features.ts'
import { KernelSide } from './kernel-side.ts'

/** Facts about the running kernel. Logs what it lacks. */
export async function readFacts(log: Pick<Log, 'info'>): Promise<KernelFacts> {
  const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
  const without = lackingFeatures(facts)
  if (Object.keys(without).length > 0) {
    log.info({ kernel: facts.release, without }, 'this kernel lacks some features: what ktrail does without them')
  }
  return facts
}

/** Rejects as `KernelSide.open`. */
export function openKernel(
  config: Config,
  facts: KernelFacts,
  workloads: WorkloadSource,
  log: Log,
): Promise<KernelSide> {
  return KernelSide.open({
    facts,
    workloads,
    mode: config.attach.mode,
    ringBytes: config.ring.size,
    watermarkBytes: ringWatermarkBytes(config),
    processDetails: asksForDetails(config),
    processEnvironment: config.enable_process_environment_variables,
    agentPid: process.pid,
    procfs: config.procfs,
    warn: (detail, message) => log.warn(detail, message),
  })
}
