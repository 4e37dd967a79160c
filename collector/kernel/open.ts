/** The kernel of this host, as the agent's config has it. */
import { asksForDetails, ringWatermarkBytes } from '../../config/agent/effective.ts'
import type { Config } from '../../config/agent/schema.ts'
import { hasBtf, kernelFunctions, kernelSymbols, realTime } from '../../native/index.ts'
import { checkHost } from '../host/checks.ts'
import type { Log } from '../host/log.ts'
import { takeLock, takeOver } from '../host/sockets/lock.ts'
import type { Lock } from '../host/sockets/lock.ts'
import type { WorkloadSource } from './conditions/workload-entries.ts'
import { readKernelFacts } from './read-facts.ts'
import type { KernelFacts } from '../plan/facts.ts'
import { lackingFeatures } from '../plan/features.ts'
import { KernelSide } from './kernel-side.ts'
import type { Kernel } from './port.ts'

/** The source of an agent's kernel. */
export interface KernelSource {
  /** Throws CollectorError if no agent can run here. */
  check(): void
  /** Makes the agent the only one. If it `takesOver`, another one hands over; else only a `temporary` one does. Rejects with CollectorError. */
  lock(takesOver: boolean, temporary: boolean): Promise<Lock>
  facts(log: Pick<Log, 'debug' | 'info'>): Promise<KernelFacts>
  /** Loads and attaches the programs that every agent has. Rejects with NativeError. */
  open(config: Config, facts: KernelFacts, workloads: WorkloadSource, log: Log): Promise<Kernel>
}

export const HOST_KERNEL: KernelSource = {
  check: () => checkHost(hasBtf),
  lock: (takesOver, temporary) => (takesOver ? takeOver() : takeLock(undefined, temporary)),
  facts: readFacts,
  open: openKernel,
}

/** Facts about the running kernel. Logs its missing features. */
async function readFacts(log: Pick<Log, 'debug' | 'info'>): Promise<KernelFacts> {
  const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
  const without = lackingFeatures(facts)
  if (Object.keys(without).length > 0) {
    const names = Object.keys(without)
    log.info(
      { kernel: facts.release, without: names },
      'ktrail replaces features that this kernel lacks; see ktrail check --kernel',
    )
    log.debug({ without }, 'effects of the features that this kernel lacks')
  }
  return facts
}

function openKernel(config: Config, facts: KernelFacts, workloads: WorkloadSource, log: Log): Promise<Kernel> {
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
    debug: (detail, message) => log.debug(detail, message),
  })
}
