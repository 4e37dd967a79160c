/**
 * Decides where policies see a task: finds the pod and container of each cgroup, and the conditions on them that it fulfils.
 *
 *   tree of cgroups at the start, records of made and removed ones ─▶ names ─▶ pod and container ─▶ conditions ─▶ the kernel's map, by cgroup
 *               pods that come, change and go, announced containers ─▶ of their cgroups anew ─┘
 *
 * Constraints: a call is judged by the map alone (bpf/frame/workload.h). A change of conditions is complete before a program uses it.
 * Unknown conditions are marked, so that the kernel can count the calls. Cgroups below a pod's container are not kept: the kernel finds the
 * container's above them, so no container makes this grow. The host's are kept up to a bound; beyond it the kernel searches upwards too.
 */
import type { WorkloadFilter } from '../../config/policy/policy.ts'
import { labelsMatch } from '../../config/policy/selectors/workloads.ts'
import { Turns } from '../host/turns.ts'
import type {
  WorkloadCondition,
  WorkloadEntries,
  WorkloadEntry,
  WorkloadSource,
} from '../kernel/conditions/workload-entries.ts'
import type { Announced, Announcements } from './announced.ts'
import { workloadPlace } from '../process/cgroup-names.ts'
import type { Place } from '../process/cgroup-names.ts'
import { scanCgroups } from './cgroup-tree.ts'
import type { FoundCgroup } from './cgroup-tree.ts'
import { SHORT_ID } from './pods.ts'
import type { Pods } from './pods.ts'

/** Size of the kernel's map (bpf/frame/workload.h), which user space makes no larger. */
const MOST_CGROUPS = 16_384
/** Most cgroups of the host, whose users may make as many as they like. */
const MOST_OF_HOST = 4_096
const NAMESPACE_LABEL = 'k8s:io.kubernetes.pod.namespace'

interface Cgroup extends Place {
  /** Number of the last pass over all cgroups that saw it. */
  seen: number
  /** The entry in the kernel's map; undefined: it has none. */
  entry: WorkloadEntry | undefined
}

export class Workloads implements WorkloadSource {
  #entries: WorkloadEntries | undefined
  readonly #pods: Pods | undefined
  readonly #announced: Pick<Announcements, 'get'> | undefined
  readonly #cgroups = new Map<bigint, Cgroup>()
  /** Cgroups of pods by the id in their names, and of containers outside of pods by short id. */
  readonly #of = new Map<string, Set<bigint>>()
  #conditions: readonly WorkloadCondition[] = []
  #ofHost = 0
  #pass = 0
  /** The reason why the cgroups of the start are not known, if so. */
  problem: string | undefined

  /** Without `pods`, policies with conditions on pods are refused. */
  constructor(pods: Pods | undefined, announced?: Pick<Announcements, 'get'>) {
    this.#pods = pods
    this.#announced = announced
    if (pods !== undefined) {
      pods.onChange = ({ cgroupUid, containers }) =>
        this.#changed([cgroupUid, ...containers.map(({ id }) => id.slice(0, SHORT_ID))])
    }
  }

  connect(entries: WorkloadEntries): void {
    this.#entries = entries
  }

  /** A runtime announced a container and waits: afterwards the kernel knows its cgroups, before their records arrive. */
  announce({ id, podUid }: Announced, cgroups: readonly FoundCgroup[]): void {
    for (const cgroup of cgroups) this.made(cgroup.id, cgroup.names)
    this.#changed([podUid, id.slice(0, SHORT_ID)])
  }

  /** Cgroups that are kept. */
  get size(): number {
    return this.#cgroups.size
  }

  refusal({ pods, containers, namespace }: WorkloadFilter): string | undefined {
    if (this.problem !== undefined) return this.problem
    const asks = pods !== undefined || containers !== undefined || namespace !== ''
    return asks && this.#pods === undefined
      ? 'no pod is known to this agent: set kubernetes.pods: true in its config'
      : undefined
  }

  /** A cgroup that was made, or found. `names`: its own, then names above that may be a pod's or container's (bpf/process/cgroup.h). */
  made(id: bigint, names: readonly string[]): void {
    const { nested, ...place } = workloadPlace(names)
    if (nested) return
    const known = this.#cgroups.get(id)
    if (known !== undefined) {
      known.seen = this.#pass
      return
    }
    const ofHost = place.podUid === ''
    if (this.#cgroups.size >= MOST_CGROUPS || (ofHost && this.#ofHost >= MOST_OF_HOST)) return
    const cgroup: Cgroup = { ...place, seen: this.#pass, entry: undefined }
    this.#cgroups.set(id, cgroup)
    if (ofHost) this.#ofHost++
    const key = keyOf(place)
    if (key !== '') this.#of.set(key, (this.#of.get(key) ?? new Set()).add(id))
    this.#put(id, cgroup)
  }

  gone(id: bigint): void {
    const cgroup = this.#cgroups.get(id)
    if (cgroup === undefined) return
    this.#cgroups.delete(id)
    if (cgroup.podUid === '') this.#ofHost--
    const key = keyOf(cgroup)
    const same = this.#of.get(key)
    same?.delete(id)
    if (same?.size === 0) this.#of.delete(key)
    this.#entries?.delete(id)
  }

  /** Finds the cgroups that exist, and forgets removed ones: at the start, and when records of them were lost. */
  async scan(procfs: string, tree: typeof scanCgroups = scanCgroups): Promise<void> {
    const pass = ++this.#pass
    const before = [...this.#cgroups.keys()]
    this.problem = await tree(procfs, (id, names) => this.made(id, names))
    if (this.problem !== undefined) return
    // A cgroup that this scan found has a later number if another scan has begun meanwhile.
    for (const id of before) if ((this.#cgroups.get(id)?.seen ?? pass) < pass) this.gone(id)
  }

  async use(conditions: readonly WorkloadCondition[]): Promise<boolean> {
    this.#conditions = conditions
    const turns = new Turns()
    let whole = true
    for (const [id, cgroup] of this.#cgroups) {
      whole = this.#put(id, cgroup) && whole
      if (turns.over) await turns.rest()
    }
    return whole
  }

  #changed(keys: readonly string[]): void {
    for (const key of keys) {
      for (const id of this.#of.get(key) ?? []) {
        const cgroup = this.#cgroups.get(id)
        if (cgroup !== undefined) this.#put(id, cgroup)
      }
    }
  }

  /** False if the kernel's map has no room: then the kernel does not take the cgroup for another. */
  #put(id: bigint, cgroup: Cgroup): boolean {
    const entry = this.#entryOf(cgroup)
    const before = cgroup.entry
    if (before?.kind === entry.kind && before.holds === entry.holds && before.partial === entry.partial) return true
    const done = this.#entries?.put(id, entry) === true
    cgroup.entry = done ? entry : undefined
    return done
  }

  #entryOf({ podUid, container }: Place): WorkloadEntry {
    const shortId = container.slice(0, SHORT_ID)
    const found = container === '' ? undefined : this.#pods?.container(shortId)
    const early = container === '' ? undefined : this.#announced?.get(shortId)
    const inPod = podUid !== '' || found !== undefined
    const pod = found?.pod ?? this.#pods?.pod(podUid)
    const inside = pod?.container ?? early?.container
    const labels = { ...pod?.labels, [NAMESPACE_LABEL]: pod?.namespace ?? '' }
    /** Undefined: not known yet. */
    const judge = ({ namespace, pods, containers, host }: WorkloadFilter): boolean | undefined => {
      if (!inPod) return host
      if (pods === undefined && containers === undefined) return false
      if (pod === undefined) return undefined
      if (namespace !== '' && namespace !== pod.namespace) return false
      if (pods !== undefined && !labelsMatch(pods, labels)) return false
      if (containers === undefined) return true
      if (inside === undefined) return undefined
      return labelsMatch(containers, { name: inside.name, repo: repositoryOf(inside.image) })
    }
    let holds = 0n
    let partial = false
    for (const { bit, filter } of this.#conditions) {
      const holdsHere = judge(filter)
      if (holdsHere === true) holds |= 1n << BigInt(bit)
      partial ||= holdsHere === undefined
    }
    const kind = container === '' ? 'pod' : 'container'
    return { kind: inPod ? kind : 'host', holds, partial }
  }
}

const keyOf = ({ podUid, container }: Place): string => (podUid === '' ? container.slice(0, SHORT_ID) : podUid)

/** An image without its tag and digest; a registry may have a port. */
export function repositoryOf(image: string): string {
  const [name = ''] = image.split('@')
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name
}
