/** The messages between the soak and its agent. */
import type { Accounting } from '../../exporters/contract/accounting.ts'

export type Order =
  | { readonly do: 'run'; readonly yaml: string; readonly epoch: string; readonly eventsPerSecond: number }
  /** No more events; the exporters continue with the events that they hold. */
  | { readonly do: 'pause' }
  | { readonly do: 'stop'; readonly graceMs: number }

export type Message =
  /** Its modules are loaded. */
  | { readonly is: 'loaded' }
  | { readonly is: 'sample'; readonly sample: Sample }
  | { readonly is: 'stopped'; readonly sample: Sample }

/** The agent at one moment. */
export interface Sample {
  /** Seconds since the order to run. */
  readonly seconds: number
  /** Bytes. `private` is the part of `rss` that is no page of a file. */
  readonly memory: Readonly<Record<'rss' | 'private' | 'heapUsed' | 'external' | 'arrayBuffers', number>>
  /** User + system since the start of the process, in seconds. */
  readonly cpuSeconds: number
  readonly published: number
  readonly accounting: Readonly<Record<string, Accounting & { readonly imbalance: number }>>
}
