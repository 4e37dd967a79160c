/** The promise in an agent's report: the published events that arrive even if the agent is killed right after the report. */
import type { ExporterReport } from './protocol.ts'

/** Numbers from `from` up to `to` (exclusive). */
export interface Span {
  readonly from: number
  readonly to: number
}

/** How an exporter keeps events: all on disk first, on disk if necessary, in memory only. */
export type Keeping = 'always' | 'overflow' | 'memory'

/**
 * The promise of one report, for an exporter that takes one batch at a time and drops nothing. `started` is its report before
 * the first event, which was number `first`. A kill loses no written page, so written events count, synced or not.
 */
export function promised(keeping: Keeping, first: number, started: ExporterReport, now: ExporterReport): Span[] {
  const { delivered, accepted, queueEvents } = now.accounting
  const recovered = started.accounting.accepted
  // Events are settled in the order in which they were accepted; those recovered from a spool come first.
  const numberOf = (index: number): number => first + Math.max(0, index - recovered)
  switch (keeping) {
    case 'always':
      return [{ from: first, to: first + (now.spool?.end ?? 0) - (started.spool?.end ?? 0) }]
    case 'memory':
      return [{ from: first, to: numberOf(delivered) }]
    case 'overflow':
      // The oldest (in-flight batch) and the youngest (in the queue or pending writes) are in memory; the accounting does not show the number of
      // each.
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
