import type { Config } from '../../config/agent/schema.ts'
import { Announcements } from './announced.ts'
import { cgroupsAt } from './cgroup-tree.ts'
import { Pods } from './pods.ts'
import { Workloads } from './workloads.ts'

/** Places where a task may run: pods of this node, containers that their runtime announced, and the cgroups of both. */
export interface Places {
  /** undefined: the config does not enable pods. */
  readonly pods: Pods | undefined
  readonly announced: Announcements
  readonly workloads: Workloads
}

export function makePlaces({ kubernetes, procfs }: Pick<Config, 'kubernetes' | 'procfs'>): Places {
  const pods = kubernetes?.pods === true ? new Pods() : undefined
  const announced = new Announcements()
  const workloads = new Workloads(pods, announced)
  announced.listen((each) => workloads.announce(each, cgroupsAt(procfs, each.cgroup)))
  return { pods, announced, workloads }
}
