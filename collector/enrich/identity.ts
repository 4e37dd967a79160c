/**
 * The enricher of the enrichment stage that finds the pod or container of a process. It looks up the objects of the informer and the
 * answers of runtimes. If one is still missing, the event may wait.
 *
 * Constraints: called for each event, so it costs one lookup for a process outside of containers and one more if the pod is known. A
 * process in a pod's cgroup waits for Kubernetes, a process in another container for its runtime, if these are configured. Waits are
 * bounded in number; the stage bounds them in time and bytes. After the wait, the event has the pod as far as it is known by its cgroup.
 */
import type { Pod, Process, ProcessEvent } from '../../exporters/contract/event.ts'
import type { Enricher } from './enrichment.ts'
import type { Placed } from '../process/place.ts'
import type { Runtimes } from '../runtimes/runtimes.ts'
import { mayBeProbe } from '../identity/exec-probe.ts'
import type { Announced, Announcements } from '../identity/announced.ts'
import { SHORT_ID } from '../identity/pods.ts'
import type { Pods } from '../identity/pods.ts'

/** More containers than a node starts while one is waited for. */
const MOST_WAITS = 4096

/** Sources of pods and containers; an absent one is not used. */
export interface IdentitySources {
  readonly announced?: Announcements | undefined
  readonly pods?: Pods | undefined
  readonly runtimes?: Pick<Runtimes, 'lookup'> | undefined
}

export class Identity implements Enricher {
  readonly #pods: Pods | undefined
  readonly #runtimes: IdentitySources['runtimes']
  readonly #announced: Announcements | undefined
  readonly #identify: (process: Process, known: Partial<Placed>) => void
  /** By short container id; the oldest first. */
  readonly #waits = new Map<string, PromiseWithResolvers<void>>()
  /** Pods with a container as it was announced. */
  readonly #announcedPods = new WeakMap<Announced, Pod>()

  /** `identify` changes the process and discards its renderings. */
  constructor(
    { pods, runtimes, announced }: IdentitySources,
    identify: (process: Process, known: Partial<Placed>) => void,
  ) {
    this.#pods = pods
    this.#runtimes = runtimes
    this.#identify = identify
    this.#announced = announced
    if (pods !== undefined) pods.onContainer = (id) => this.#came(id)
    announced?.listen(({ id, podUid }) => {
      const shortId = id.slice(0, SHORT_ID)
      // The request is sent before the first event comes.
      if (pods === undefined || podUid === '') void runtimes?.lookup(shortId)
      this.#came(shortId)
    })
  }

  pending({ process, parent }: ProcessEvent): Promise<void> | undefined {
    // The event does not wait for its parent.
    if (parent !== undefined && parent.docker !== '') this.#find(parent)
    if (process.docker === '') return undefined
    const found = this.#find(process)
    return found === 'later' ? this.#wait(process.docker) : found
  }

  /** Looks the process up. Returns `later` if Kubernetes may add data, a promise if a runtime may, else undefined. */
  #find(process: Process): Promise<void> | 'later' | undefined {
    if (isWhole(process)) return undefined
    const { docker, podUid = '', pod } = process
    const found = this.#pods?.container(docker)
    if (found !== undefined) {
      if (found.pod !== pod) {
        this.#identify(process, { pod: found.pod, execProbe: mayBeProbe(process, found.probes) })
      }
      return undefined
    }
    if (this.#pods === undefined || podUid === '') return this.#findAtRuntime(process)
    const only = this.#pods.pod(podUid)
    const early = this.#announced?.get(docker)
    const known = only && early ? this.#announcedPod(only, early) : (only ?? pod)
    if (known !== pod) this.#identify(process, { pod: known })
    // The announced facts are enough, so that no event waits for kubelet.
    return known !== undefined && early !== undefined ? undefined : 'later'
  }

  #announcedPod(pod: Pod, announced: Announced): Pod {
    if (announced.container === undefined) return pod
    let made = this.#announcedPods.get(announced)
    if (made === undefined || made.uid !== pod.uid || made.labels !== pod.labels) {
      made = { ...pod, container: announced.container }
      this.#announcedPods.set(announced, made)
    }
    return made
  }

  #findAtRuntime(process: Process): Promise<void> | undefined {
    const found = this.#runtimes?.lookup(process.docker)
    if (found === undefined || found instanceof Promise) return found
    this.#identify(process, { container: found })
    return undefined
  }

  #wait(id: string): Promise<void> {
    let wait = this.#waits.get(id)
    if (wait === undefined) {
      const [oldest] = this.#waits.keys()
      if (oldest !== undefined && this.#waits.size >= MOST_WAITS) this.#came(oldest)
      this.#waits.set(id, (wait = Promise.withResolvers<void>()))
    }
    return wait.promise
  }

  #came(id: string): void {
    this.#waits.get(id)?.resolve()
    this.#waits.delete(id)
  }
}

/** Whether nothing more can become known. The API server adds to an announced container its image with the digest. */
function isWhole({ pod, container }: Process): boolean {
  return container !== undefined || (pod?.container !== undefined && pod.container.imageId !== '')
}
