/**
 * One batch, in as many requests as it takes: whole if it can be, in halves where the sink finds fault with a part. Events
 * are settled from the head on, so that an interruption says how far it came.
 */
import { ExportError } from '../errors.ts'
import type { Outcome } from '../exporter.ts'
import type { Verdict } from './outcome.ts'

/** Events `from` up to `to` (exclusive) of a batch. */
export interface Range {
  readonly from: number
  readonly to: number
}

export interface Task {
  readonly count: number
  /** Events that are not to be sent, and why. */
  readonly refused: ReadonlyMap<number, string>
  /** Most events in one request. */
  readonly maxEvents: number
  /** Sends the events of a range that are not refused. */
  post(range: Range): Promise<Verdict>
  /** Told of every event that is refused for good. */
  onRefused(reason: string, events: number): void
}

/**
 * A sink that refuses this many single events in a row, and takes none, refuses us: a person must look. What it has
 * refused so far stays refused, so that events that deserve it do not block the others for ever.
 */
const SINGLES_IN_A_ROW = 8

/** Sends until every event is settled or the sink makes us wait. */
export async function deliver(task: Task): Promise<Outcome> {
  const tally = new Tally(task)
  const ranges = cut({ from: 0, to: task.count }, task.maxEvents).toReversed()
  let taken = 0
  let singles = 0
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const events = tally.sendable(range)
    // Oversight is impossible: what is left out here is counted by `settle`.
    const verdict: Verdict = events === 0 ? NOTHING_SENT : await task.post(range)
    switch (verdict.is) {
      case 'taken':
        taken += events
        tally.settle(range, verdict.reason, Math.min(verdict.rejected, events))
        break
      case 'refused':
        tally.note(verdict.error)
        tally.settle(range, verdict.reason, events)
        break
      case 'faulty':
        tally.note(verdict.error)
        if (events > 1) {
          const middle = (range.from + range.to) >>> 1
          ranges.push({ from: middle, to: range.to }, { from: range.from, to: middle })
          break
        }
        tally.settle(range, verdict.reason, 1)
        if (++singles >= SINGLES_IN_A_ROW && taken === 0 && ranges.length > 0) return tally.held(verdict.error)
        break
      case 'hold':
        return tally.held(verdict.error)
      case 'again':
        return tally.interrupted(verdict.error, verdict.afterMs)
    }
  }
  return tally.done()
}

const NOTHING_SENT: Verdict = { is: 'taken', rejected: 0, reason: '', warning: '' }

function cut({ from, to }: Range, maxEvents: number): Range[] {
  if (to - from <= maxEvents) return [{ from, to }]
  const ranges: Range[] = []
  for (let at = from; at < to; at += maxEvents) ranges.push({ from: at, to: Math.min(to, at + maxEvents) })
  return ranges
}

/** How far the batch is settled and what of it was refused. */
class Tally {
  readonly #task: Task
  readonly #refused = new Map<string, number>()
  #settled = 0
  #error = new ExportError('IO', 'events break a limit of the sink that is checked before sending')

  constructor(task: Task) {
    this.#task = task
  }

  sendable({ from, to }: Range): number {
    let events = to - from
    if (this.#task.refused.size > 0) for (let i = from; i < to; i++) if (this.#task.refused.has(i)) events--
    return events
  }

  note(error: ExportError): void {
    this.#error = error
  }

  settle({ from, to }: Range, reason: string, events: number): void {
    this.#settled = to
    if (this.#task.refused.size > 0) {
      for (let i = from; i < to; i++) {
        const own = this.#task.refused.get(i)
        if (own !== undefined) this.#refuse(own, 1)
      }
    }
    if (events > 0) this.#refuse(reason, events)
  }

  #refuse(reason: string, events: number): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + events)
    this.#task.onRefused(reason, events)
  }

  /** Refused so far, under the reason of most of them. */
  #sum(): { readonly rejected: number; readonly reason: string } {
    let rejected = 0
    let reason = ''
    for (const [name, events] of this.#refused) {
      rejected += events
      if (events > (this.#refused.get(reason) ?? 0)) reason = name
    }
    return { rejected, reason }
  }

  held(error: ExportError): Outcome {
    // With something settled first: the next call, which comes at once, finds nothing settled and holds.
    return this.#settled === 0 ? { status: 'hold', error } : this.interrupted(error, 0)
  }

  interrupted(error: ExportError, afterMs: number | undefined): Outcome {
    const refused = this.#sum()
    return {
      status: 'retryable',
      ...(afterMs === undefined ? {} : { afterMs }),
      ...(this.#settled === 0 ? {} : { taken: this.#settled }),
      ...(refused.rejected === 0 ? {} : { refused }),
      error,
    }
  }

  done(): Outcome {
    const { rejected, reason } = this.#sum()
    if (rejected === 0) return { status: 'delivered' }
    if (rejected === this.#task.count) return { status: 'rejected', reason, error: this.#error }
    return { status: 'partial', rejected, reason }
  }
}
