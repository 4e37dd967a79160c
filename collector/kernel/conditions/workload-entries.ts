/** Writes what cgroups fulfil into the kernel's map (bpf/match/workload.h). */
import { NativeError } from '../../../native/index.ts'
import type { BpfMap } from '../../../native/types.ts'
import type { WorkloadEntries, WorkloadEntry } from '../../identity/workloads.ts'
import { u64 } from '../bytes.ts'
import { WORKLOAD, WORKLOAD_CONTAINER, WORKLOAD_HOST, WORKLOAD_POD } from '../wire.ts'
import { setBytes } from './entries.ts'

const KINDS = { host: WORKLOAD_HOST, pod: WORKLOAD_POD, container: WORKLOAD_CONTAINER } as const

export function workloadEntries(map: Pick<BpfMap, 'update' | 'delete'>): WorkloadEntries {
  return {
    put: (id, entry) => attempt(() => map.update(u64(id), workloadBytes(entry))),
    delete: (id) => void attempt(() => map.delete(u64(id))),
  }
}

/** False where the map is full, or closed: the agent stops. */
function attempt(change: () => boolean): boolean {
  try {
    return change()
  } catch (error) {
    if (!(error instanceof NativeError)) throw error
    return false
  }
}

/** `struct workload` */
export function workloadBytes({ kind, holds, partial }: WorkloadEntry): Buffer {
  const bytes = Buffer.alloc(WORKLOAD.bytes)
  setBytes(holds).copy(bytes, WORKLOAD.holds)
  bytes.writeUInt32LE(KINDS[kind], WORKLOAD.kind)
  bytes.writeUInt32LE(partial ? 1 : 0, WORKLOAD.partial)
  return bytes
}
