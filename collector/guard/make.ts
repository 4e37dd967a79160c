/** The guard of an agent, with all its checks. */
import type { Ingest } from '../ingest/ingest.ts'
import type { Log } from '../host/log.ts'
import type { KernelFacts } from '../plan/facts.ts'
import type { Kernel } from '../kernel/port.ts'
import { AgentStops } from './agent-stops.ts'
import { Canary } from './canary.ts'
import { Guard } from './guard.ts'
import { JoinMapCheck } from './join-map.ts'
import { MissingRecords } from './missing-records.ts'
import { ProcessMapCheck } from './process-map.ts'

export interface Guarded {
  readonly kernel: Kernel
  readonly ingest: Ingest
  readonly facts: KernelFacts
  readonly procfs: string
  readonly log: Log
}

/** `undo` ends its watches. */
export function makeGuard(undo: AsyncDisposableStack, { kernel, ingest, facts, procfs, log }: Guarded): Guard {
  const stops = undo.use(new AgentStops({ log }))
  const canary = new Canary({
    facts,
    functions: () => kernel.policies.functions(),
    forget: () => kernel.forgetCgroups(),
  })
  const missing = new MissingRecords(() => ingest.accounting.imbalance)
  const processes = new ProcessMapCheck({
    agentPid: process.pid,
    table: ingest.processes,
    kernel,
    procfs,
    full: () => kernel.counts().counters.process_map_full,
    compare: () => ingest.compareProcesses(),
  })
  const joins = new JoinMapCheck({
    pending: ingest.returns,
    inMaps: () => kernel.policies.joins?.calls() ?? new Set(),
    emptied: () => ingest.emptied,
    fromMap: () => kernel.policies.joins?.fromMap ?? 0,
    refused: () => kernel.counts().counters.ring_full_return,
    end: (call) => ingest.endWithoutReturn(call),
  })
  const check = (nowMs: number): ReturnType<Canary['check']> => [
    ...stops.check(),
    ...kernel.check(),
    ...canary.check(nowMs),
    ...missing.check(),
    ...processes.check(),
    ...joins.check(),
  ]
  return new Guard({ check, log })
}
