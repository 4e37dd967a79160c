/**
 * The pods of this node by their containers, and by the ids in names of cgroups.
 *
 *   API server ─▶ informer ─▶ set, delete ─▶ by container id, by uid ◀─ find ─ enricher (identity.ts)
 *
 * A pod, or a container of it, that is gone stays known for a minute: its last events come later. The API server learns of a container when
 * kubelet reports it, a second or more after its first process; a pod it has known before. Memory is bounded by the pods that the node may
 * run: the informer requests no others.
 */
import type { Pod } from '../../exporters/contract/event.ts'
import type { KnownPod, PodContainer } from './pod-object.ts'

/** Time for which removed pods stay known. */
const KEPT_MS = 60_000
/** Tetragon's `docker`: the part of an id that events have. */
export const SHORT_ID = 31

interface Gone {
  readonly atMs: number
  readonly remove: () => void
}

export class Pods {
  readonly #containers = new Map<string, PodContainer>()
  readonly #byUid = new Map<string, Pod>()
  /** In the order of their removal. */
  #gone: Gone[] = []
  readonly #nowMs: () => number
  /** Called with the short id of a container that became known, or changed. */
  onContainer: (id: string) => void = () => {}
  /** Called with a pod whose data have changed or are forgotten. */
  onChange: (pod: KnownPod) => void = () => {}

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  /** The container with this short id. */
  container(id: string): PodContainer | undefined {
    return this.#containers.get(id)
  }

  /** The pod whose cgroup contains this uid, without a container. */
  pod(cgroupUid: string): Pod | undefined {
    return this.#byUid.get(cgroupUid)
  }

  set(pod: KnownPod, before: KnownPod | undefined): void {
    this.tick()
    this.#byUid.set(pod.cgroupUid, pod.pod)
    const ids = new Set<string>()
    for (const container of pod.containers) {
      const id = container.id.slice(0, SHORT_ID)
      ids.add(id)
      this.#containers.set(id, container)
      this.onContainer(id)
    }
    this.onChange(pod)
    if (before === undefined) return
    // A container that was replaced: its status has the id of the next one.
    this.#forgetLater(before, ids)
    // Another pod of the same name.
    if (before.cgroupUid !== pod.cgroupUid) this.#forgetPodLater(before)
  }

  delete(pod: KnownPod): void {
    this.tick()
    this.#forgetLater(pod)
    this.#forgetPodLater(pod)
  }

  #forgetPodLater(known: KnownPod): void {
    this.#later(() => {
      if (this.#byUid.get(known.cgroupUid) !== known.pod) return
      this.#byUid.delete(known.cgroupUid)
      this.onChange(known)
    })
  }

  /** Removes the pod's containers, except those with the short ids `stay`. */
  #forgetLater(pod: KnownPod, stay: ReadonlySet<string> = new Set()): void {
    for (const container of pod.containers) {
      const id = container.id.slice(0, SHORT_ID)
      if (stay.has(id)) continue
      this.#later(() => {
        if (this.#containers.get(id) !== container) return
        this.#containers.delete(id)
        this.onChange(pod)
      })
    }
  }

  #later(remove: () => void): void {
    this.#gone.push({ atMs: this.#nowMs() + KEPT_MS, remove })
  }

  /** Forgets what is over; also housekeeping, every few seconds. */
  tick(): void {
    const nowMs = this.#nowMs()
    const first = this.#gone.findIndex(({ atMs }) => atMs > nowMs)
    const over = this.#gone.splice(0, first === -1 ? this.#gone.length : first)
    for (const { remove } of over) remove()
  }
}
