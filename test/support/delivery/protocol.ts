/** What a test and the agent it starts (agent.ts) say to each other, over the channel that node gives a child. */
import type { Accounting } from '../../../exporters/contract/exporter.ts'

export type Order =
  /** The first one: make exporters of this YAML (all of `exporters:`), start them, publish events numbered from `from` on. */
  | {
      readonly do: 'run'
      readonly yaml: string
      readonly epoch: string
      readonly from: number
      readonly eventsPerSecond: number
    }
  | { readonly do: 'rate'; readonly eventsPerSecond: number }
  | { readonly do: 'stop'; readonly graceMs: number }

/** Positions of a spool, as in SpoolStats. */
export interface SpoolReport {
  readonly durable: number
  readonly settled: number
  readonly end: number
  readonly recovered: number
  readonly appended: number
  readonly segments: number
}

export interface ExporterReport {
  readonly accounting: Accounting
  readonly imbalance: number
  readonly spool: SpoolReport | undefined
}

export type Reports = Readonly<Record<string, ExporterReport>>

export type Said =
  | { readonly is: 'started'; readonly exporters: Reports }
  /** Said before they are published: none at or above `to` has been given to an exporter yet. */
  | { readonly is: 'publishing'; readonly to: number }
  /** All below `to` were given to every exporter. */
  | { readonly is: 'report'; readonly to: number; readonly exporters: Reports }
  | { readonly is: 'stopped'; readonly exporters: Reports }
  /** It ends now, and this is why. */
  | { readonly is: 'failed'; readonly why: string }
