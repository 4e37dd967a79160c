/** Hands records of cgroups on (collector/identity/workloads.ts). */
import type { Workloads } from '../identity/workloads.ts'
import { CGROUP_WHOLE } from '../wire/wire.ts'
import type { RawCgroup } from '../wire/decode.ts'

export function takeCgroup(
  workloads: Pick<Workloads, 'made' | 'gone'>,
  { id, gone, cgroup, cgroupState }: RawCgroup,
): void {
  if (gone) workloads.gone(id)
  // If the record lacks names, the kernel finds the cgroups above.
  else if (cgroupState === CGROUP_WHOLE) workloads.made(id, cgroup.toString('latin1').split('\0').slice(0, -1))
}
