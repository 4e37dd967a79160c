/** Work of the agent's parts every few seconds (host/housekeeping.ts). */
import type { Config } from '../config/agent/schema.ts'
import type { ChangeRecords } from './delivery/change-records.ts'
import type { Delivery } from './delivery/delivery.ts'
import { Housekeeping } from './host/housekeeping.ts'
import { IdleMemory, collectGarbage, started } from './host/heap.ts'
import type { Log } from './host/log.ts'
import { MemoryGuard, logPressure } from './host/memory.ts'
import type { Pods } from './identity/pods.ts'
import type { Ingest } from './ingest/ingest.ts'
import type { Kernel } from './kernel/port.ts'
import type { Line } from './line.ts'
import { ModuleWatch } from './policies/modules.ts'
import type { Policies } from './policies/registry.ts'
import type { RunRecords } from './telemetry/run-records.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

export interface UpkeepParts {
  readonly kernel: Kernel
  readonly ingest: Ingest
  readonly policies: Policies
  readonly pods: Pods | undefined
  readonly telemetry: Telemetry
  readonly line: Line
  readonly runRecords: RunRecords
  readonly changes: ChangeRecords
  readonly memory: MemoryGuard
  readonly log: Log
}

/** Above the guard's limits, exporters write to their spools or drop events. */
export function makeMemoryGuard(config: Pick<Config, 'memory'>, delivery: Delivery, log: Log): MemoryGuard {
  return new MemoryGuard(config.memory, (pressure, rssBytes) => {
    delivery.fanout.pressure = pressure
    logPressure(log, pressure, rssBytes)
  })
}

/** Starts the work, when everything else has started. `working` of `keeping` makes the next tick come soon. */
export function startUpkeep(keeping: Housekeeping, parts: UpkeepParts): void {
  const { kernel, ingest, policies, pods, telemetry, line, runRecords, changes, memory, log } = parts
  started()
  const modules = new ModuleWatch({ policies, log })
  const idleMemory = new IdleMemory(collectGarbage)
  keeping.start({
    after: [
      () => memory.look(),
      () => idleMemory.look(ingest.bytesRead),
      // First: later tasks count the calls that it removes.
      () => kernel.policies.sweepJoins(),
      () => ingest.tick(),
      () => pods?.tick(),
      () => telemetry.report(),
    ],
    always: [
      () => void kernel.policies.lookups.files.refresh(),
      () => modules.look(),
      () => ingest.accounting.look(),
      () => telemetry.look() && keeping.working(),
      () => line.tick(),
      () => runRecords.tick(performance.now()),
      () => changes.tick(),
      () => ingest.wake(),
    ],
  })
}
