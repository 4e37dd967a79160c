/** Writes the conditions that cgroups fulfil into the kernel's map (bpf/frame/workload.h). */
import { randomBytes } from 'node:crypto'
import type { BpfMap } from '../../../native/types.ts'
import type { WorkloadFilter } from '../../../config/policy/policy.ts'
import { u32, u64 } from '../../wire/bytes.ts'
import { structBytes } from '../../plan/map-entries.ts'
import type { Finding } from '../watched/finding.ts'
import { attempt } from '../watched/attempt.ts'
import { KeptMap } from '../watched/kept-map.ts'
import { WORKLOAD, WORKLOAD_CONTAINER, WORKLOAD_HOST, WORKLOAD_POD } from '../../wire/wire.ts'
import { setBytes } from '../../plan/conditions/entries.ts'

export interface WorkloadCondition {
  readonly bit: number
  readonly filter: WorkloadFilter
}

/** `struct workload` */
export interface WorkloadEntry {
  readonly kind: 'host' | 'pod' | 'container'
  /** Bits of the conditions that hold. */
  readonly holds: bigint
  /** Whether some condition is not decided yet. */
  readonly partial: boolean
}

export interface WorkloadEntries {
  /** False if there is no room. */
  put(id: bigint, entry: WorkloadEntry): boolean
  delete(id: bigint): void
}

/** Decides which cgroups fulfil which conditions on pods and containers (collector/identity/workloads.ts). */
export interface WorkloadSource {
  /** Starts to write the known cgroups into the kernel's map. */
  connect(entries: WorkloadEntries): void
  /** The reason if a policy cannot have this condition here. */
  refusal(filter: WorkloadFilter): string | undefined
  /** Sets all conditions. Resolves when the kernel's map has them; to false if it has no room. */
  use(conditions: readonly WorkloadCondition[]): Promise<boolean>
}

const KINDS = { host: WORKLOAD_HOST, pod: WORKLOAD_POD, container: WORKLOAD_CONTAINER } as const

const ONLY = u32(0)

export interface WorkloadMaps {
  readonly workloads: ConstructorParameters<typeof KeptMap>[0]
  /** A number: programs forget their cgroups when it changes. */
  readonly '.data.change': Pick<BpfMap, 'update'>
}

export class WorkloadMap implements WorkloadEntries {
  readonly #workloads: KeptMap
  readonly #change: WorkloadMaps['.data.change']

  constructor(maps: WorkloadMaps) {
    this.#workloads = new KeptMap(maps.workloads)
    this.#change = maps['.data.change']
    this.forget()
  }

  put(id: bigint, entry: WorkloadEntry): boolean {
    const done = attempt(() => this.#workloads.update(u64(id), workloadBytes(entry)))
    this.forget()
    return done
  }

  delete(id: bigint): void {
    attempt(() => this.#workloads.delete(u64(id)))
    this.forget()
  }

  /** Finds and repairs changes of the map by other processes. */
  check(): Finding[] {
    const findings = this.#workloads.check()
    if (findings.length > 0) this.forget()
    return findings
  }

  /** Makes programs read each cgroup from the map again. */
  forget(): void {
    attempt(() => this.#change.update(ONLY, randomBytes(8)))
  }
}

/** `struct workload` */
export const workloadBytes = ({ kind, holds, partial }: WorkloadEntry): Buffer =>
  structBytes(WORKLOAD, { holds: setBytes(holds), kind: KINDS[kind], partial: partial ? 1 : 0 })
