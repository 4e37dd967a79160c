/** Number of events of each policy in each namespace of Kubernetes: an optional metric, because it has a sample for each pair. */
import { isHookEvent } from '../../../exporters/index.ts'
import type { Event } from '../../../exporters/contract/event.ts'
import { byKeys } from './fills.ts'
import type { Fill } from './page.ts'

/** Pairs of policy and namespace. Users who make namespaces could grow the page without end: later pairs are one sample of each policy. */
export const PAIRS_MAX = 1000
/** Not a valid namespace. */
export const OTHERS = '(others)'

export class NamespaceCounts {
  readonly #pairsMax: number
  readonly #counts = new Map<string, Map<string, number>>()
  #pairs = 0

  constructor(pairsMax: number = PAIRS_MAX) {
    this.#pairsMax = pairsMax
  }

  /** Counts events of policies in pods, and no others. Private policies are left out: each client has one of another name. */
  add(events: readonly Event[]): void {
    for (const event of events) {
      if (!isHookEvent(event) || event.hook.private) continue
      const namespace = event.process.pod?.namespace
      if (namespace !== undefined) this.#count(event.hook.policy, namespace)
    }
  }

  #count(policy: string, namespace: string): void {
    let counts = this.#counts.get(policy)
    if (counts === undefined) this.#counts.set(policy, (counts = new Map()))
    const before = counts.get(namespace)
    if (before === undefined && this.#pairs >= this.#pairsMax) {
      counts.set(OTHERS, (counts.get(OTHERS) ?? 0) + 1)
      return
    }
    if (before === undefined) this.#pairs++
    counts.set(namespace, (before ?? 0) + 1)
  }

  /** The samples of `ktrail_namespace_events_total`. */
  readonly fill: Fill = byKeys(['policy', 'namespace'], () => this.#counts)
}
