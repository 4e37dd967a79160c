/** Connects the reconciler (reconcile.ts) to the agent: which losses mean that the process table may be wrong. */
import { bootTime } from '../../native/index.ts'
import type { RingAccounting } from './ring-accounting.ts'
import type { Kernel } from '../kernel/port.ts'
import type { Log } from '../host/log.ts'
import type { Workloads } from '../identity/workloads.ts'
import type { ProcessFiles } from '../process/detail/process-files.ts'
import { Reconciler } from '../process/reconcile.ts'
import type { ProcessTable } from '../process/table.ts'

export interface ReconcilingOptions {
  readonly table: ProcessTable
  readonly kernel: Kernel
  readonly workloads: Pick<Workloads, 'scan'>
  readonly accounting: RingAccounting
  readonly procfs: string
  readonly files: ProcessFiles
  readonly log: Log
}

export function createReconciler(options: ReconcilingOptions): Reconciler {
  const { table, kernel, workloads, accounting, procfs, files, log } = options
  return new Reconciler({
    table,
    kernel,
    procfs,
    files,
    lost: () => {
      const { counters, programs } = kernel.counts()
      const missed = [...programs.values()].reduce((sum, runs) => sum + runs.missed, 0)
      const { ring_full_process: refused, process_map_full: full } = counters
      return refused + full + missed + accounting.malformed + accounting.imbalance
    },
    missedExits: () => kernel.counts().programs.get('process_exit')?.missed ?? 0,
    waiting: () => kernel.ring.available(),
    bootNs: bootTime,
    onDone: (done) => {
      log.info({ ...done }, "the process table was compared with the kernel's after losses")
      // Records of cgroups may be among the lost ones.
      void workloads.scan(procfs)
    },
    onFailed: (error) => log.error({ error: String(error) }, "comparing the process table with the kernel's failed"),
  })
}
