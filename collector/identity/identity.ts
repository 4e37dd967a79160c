/**
 * The enricher of the enrichment stage: which pod a process runs in. It looks up what the informer has brought; what is not there yet may be
 * waited for.
 *
 * Constraints: called for each event, so it costs one look at the process outside of containers and one more where the pod is known. Only
 * processes in a pod's cgroup are waited for: no event of a container that Kubernetes does not run is held up. Waits are bounded in number;
 * the stage bounds them in time and bytes. An event whose wait is over goes with the pod as far as it is known, by its cgroup.
 */
import type { Process, ProcessEvent } from '../../exporters/contract/event.ts'
import type { Enricher } from '../enrich/enrichment.ts'
import type { Placed } from '../process/place.ts'
import { mayBeProbe } from './exec-probe.ts'
import type { Pods } from './pods.ts'

/** More containers than a node starts while one is waited for. */
const MOST_WAITS = 4096

interface Wait {
  readonly promise: Promise<void>
  readonly resolve: () => void
}

export class Identity implements Enricher {
  readonly #pods: Pods
  readonly #identify: (process: Process, known: Partial<Placed>) => void
  /** By short container id; the oldest first. */
  readonly #waits = new Map<string, Wait>()

  /** `identify` changes the process and discards what was rendered of it. */
  constructor(pods: Pods, identify: (process: Process, known: Partial<Placed>) => void) {
    this.#pods = pods
    this.#identify = identify
    pods.onContainer = (id) => this.#came(id)
  }

  pending({ process, parent }: ProcessEvent): Promise<void> | undefined {
    if (parent !== undefined && parent.docker !== '') this.#isKnown(parent)
    return process.docker === '' || this.#isKnown(process) ? undefined : this.#wait(process.docker)
  }

  /** False: what is still to come will tell more. */
  #isKnown(process: Process): boolean {
    const { docker, podUid = '', pod } = process
    if (pod?.container !== undefined) return true
    const found = this.#pods.container(docker)
    if (found !== undefined) {
      this.#identify(process, { pod: found.pod, execProbe: mayBeProbe(process, found.probes) })
      return true
    }
    if (podUid === '') return true
    const only = pod === undefined ? this.#pods.pod(podUid) : undefined
    if (only !== undefined) this.#identify(process, { pod: only })
    return false
  }

  #wait(id: string): Promise<void> {
    let wait = this.#waits.get(id)
    if (wait === undefined) {
      const [oldest] = this.#waits.keys()
      if (oldest !== undefined && this.#waits.size >= MOST_WAITS) this.#came(oldest)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waits.set(id, (wait = { promise, resolve }))
    }
    return wait.promise
  }

  #came(id: string): void {
    this.#waits.get(id)?.resolve()
    this.#waits.delete(id)
  }
}
