/** The place of a process, from the names of cgroups in its record. */
import type { Process } from '../../exporters/contract/event.ts'
import { placeOf } from './cgroup-names.ts'
import type { CgroupNames } from '../wire/decode.ts'
import { CGROUP_CUT, CGROUP_KEPT, CGROUP_WHOLE } from '../wire/wire.ts'
import { own } from '../wire/text.ts'

/** Facts of a process that may become known later, or change. */
export type Placed = Pick<Process, 'docker' | 'podUid' | 'pod' | 'container' | 'execProbe'>

/** `before`: the facts that hold if the record does not have more. */
export function placeAfter({ cgroup, cgroupState }: CgroupNames, before: Process): Placed {
  const { docker, podUid, pod, container } = before
  if (cgroupState === CGROUP_KEPT) return { docker, podUid, pod, container }
  if (cgroup.length === 0 && cgroupState === CGROUP_WHOLE) return NO_PLACE
  const place = placeIn(cgroup.toString('latin1').split('\0'))
  // A process that hides below many cgroups of its own is still where it came from.
  return place.docker === docker || (place.docker === '' && cgroupState === CGROUP_CUT)
    ? { docker, podUid, pod, container }
    : place
}

const NO_PLACE: Placed = { docker: '', podUid: '', pod: undefined, container: undefined }

/** `names`: the process's own cgroup first. */
export function placeIn(names: Iterable<string>): Placed {
  const { container, podUid } = placeOf(names)
  // Tetragon's `docker`.
  return { docker: own(container.slice(0, 31)), podUid: own(podUid), pod: undefined, container: undefined }
}
