/** The messages between a test and the agent that it starts (agent.ts), over the channel that node gives a child. */
import type { Accounting } from '../../../exporters/contract/accounting.ts'

export type Order =
  /** The first one: create the exporters of this YAML, start them, publish events numbered from `from` on. */
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

export type Message =
  | { readonly is: 'started'; readonly exporters: Reports }
  /** Sent before they are published: no event at or above `to` has been given to an exporter yet. */
  | { readonly is: 'publishing'; readonly to: number }
  /** All below `to` were given to every exporter. */
  | { readonly is: 'report'; readonly to: number; readonly exporters: Reports }
  | { readonly is: 'stopped'; readonly exporters: Reports }
  /** It ends now, for this reason. */
  | { readonly is: 'failed'; readonly why: string }
