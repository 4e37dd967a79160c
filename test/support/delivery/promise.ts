/** What an agent's report promises: which of the events it published will arrive although it is killed right then. */
import type { ExporterReport } from './protocol.ts'

/** Numbers from `from` up to `to` (exclusive). */
export interface Span {
  readonly from: number
  readonly to: number
}

/** How an exporter keeps events: all on disk first, on disk when it must, in memory only. */
export type Keeping = 'always' | 'overflow' | 'memory'

/**
 * The promise of one report, for an exporter that takes one batch at a time and drops nothing. `started` is what it said before
 * the first event, which was number `first`. A kill takes no written page, so what is written counts, durable or not.
 */
export function promised(keeping: Keeping, first: number, started: ExporterReport, now: ExporterReport): Span[] {
  const { delivered, accepted, queueEvents } = now.accounting
  const recovered = started.accounting.accepted
  // Events are settled in the order in which they were accepted; those that a spool brought along came before all.
  const numberOf = (index: number): number => first + Math.max(0, index - recovered)
  switch (keeping) {
    case 'always':
      return [{ from: first, to: first + (now.spool?.end ?? 0) - (started.spool?.end ?? 0) }]
    case 'memory':
      return [{ from: first, to: numberOf(delivered) }]
    case 'overflow':
      // In memory are the oldest, in flight, and the youngest, in the queue or on the way to the disk: how many of each, the
      // books do not say.
      return [
        { from: first, to: numberOf(delivered) },
        { from: numberOf(delivered + queueEvents), to: numberOf(accepted - queueEvents) },
      ]
  }
}

/** Events, of those published since the start, that would also survive a power cut. */
export function durable(started: ExporterReport, now: ExporterReport): number {
  return Math.max(0, (now.spool?.durable ?? 0) - (started.spool?.end ?? 0))
}
