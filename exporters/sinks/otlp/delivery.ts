/**
 * Sends a batch in one request, or in halves if the sink refuses a part of it. Events are settled in order, so that an
 * interrupted call can report how many are done.
 */
import { ExportError } from '../../contract/errors.ts'
import type { Outcome, Refusal } from '../../contract/exporter.ts'
import type { LimitReason } from './loki/limits.ts'
import type { RefusalReason, Verdict } from './outcome.ts'

/** Events `from` up to `to` (exclusive) of a batch. */
export interface Range {
  readonly from: number
  readonly to: number
}

export interface Task {
  readonly count: number
  /** Reasons not to send events; may grow after a `narrowed`. */
  readonly refused: ReadonlyMap<number, LimitReason>
  /** The message for events refused for a reason. */
  explain(reason: LimitReason): string
  /** Maximum events of a request. */
  readonly maxEvents: number
  /** Sends the events of a range, except refused ones. */
  post(range: Range): Promise<Verdict>
}

/**
 * After so many single events refused in a row the sink itself is at fault: it needs manual action, and no more events are
 * rejected.
 */
const SINGLES_IN_A_ROW = 8
/** Limit if the sink reports a fault of the events. It is higher, because a program can cause a run of oversized events. */
const RECORDS_IN_A_ROW = 1000
/** Narrowed requests for a batch. Then halves bound the requests also if the sink moves its limit with each response. */
const MAX_NARROWED = 4

/** State kept between batches. */
export interface RefusalCounts {
  /** Single events refused since the sink last accepted any. */
  singles: number
}

/** Sends until every event is settled or the sink requires a wait. */
export async function deliver(task: Task, doubt: RefusalCounts): Promise<Outcome> {
  const tally = new Tally(task)
  const ranges = cut(task).toReversed()
  let isTrusted = false
  let narrowed = 0
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const events = sentOf(range, task.refused)
    // Oversight is impossible: `settle` counts events that are left out here.
    const verdict: Verdict = events === 0 ? TAKEN : await task.post(range)
    switch (verdict.is) {
      case 'taken': {
        const rejected = Math.min(verdict.rejected, events)
        if (rejected < events) doubt.singles = 0
        const message = verdict.warning || NO_REASON
        if (rejected < events) tally.refuseSome(verdict.reason, rejected, message)
        else tally.refuse(range, verdict.reason, message)
        tally.settle(range)
        break
      }
      case 'refused':
        tally.refuse(range, verdict.reason, verdict.error.message)
        tally.settle(range)
        break
      case 'narrowed':
        if (events > 1 && narrowed++ >= MAX_NARROWED) ranges.push(...halves(range))
        else ranges.push(range)
        break
      case 'faulty':
        if (events > 1) {
          ranges.push(...halves(range))
          break
        }
        if (isDoubtful(doubt, verdict) && !isTrusted) {
          isTrusted = await takesAnother(task, range)
          if (!isTrusted) return tally.held(doubtful(verdict, doubt))
        }
        doubt.singles++
        tally.refuse(range, verdict.reason, verdict.error.message)
        tally.settle(range)
        break
      case 'hold':
        return tally.held(verdict.error)
      case 'again':
        return tally.interrupted(verdict.error, verdict.afterMs, verdict.unacknowledged ? events : 0)
    }
  }
  return tally.done()
}

type Faulty = Extract<Verdict, { is: 'faulty' }>

function isDoubtful({ singles }: RefusalCounts, { isAboutRecord }: Faulty): boolean {
  return singles >= (isAboutRecord ? RECORDS_IN_A_ROW : SINGLES_IN_A_ROW)
}

/**
 * Whether the sink accepts any event: sends the last event of the batch if it is after `range`. It is sent again in its turn: a
 * duplicate is better than holding all events after some bad ones.
 */
async function takesAnother(task: Task, { to }: Range): Promise<boolean> {
  let last = task.count - 1
  while (last >= to && task.refused.has(last)) last--
  if (last < to) return false
  const verdict = await task.post({ from: last, to: last + 1 })
  return verdict.is === 'taken' && verdict.rejected === 0
}

function doubtful({ error, isAboutRecord }: Faulty, { singles }: RefusalCounts): ExportError {
  const why = `it has refused ${singles} single records in a row`
  const advice = isAboutRecord ? 'raise that limit at the sink' : 'check the endpoint'
  return new ExportError('IO', `${error.message}; ${why}: ${advice}, then reopen (SIGHUP)`, error)
}

const NO_REASON = 'the sink refused records of an accepted request without a reason'
/** The sink has taken what was sent. */
export const TAKEN: Verdict = { is: 'taken', rejected: 0, reason: 'partial', warning: '' }

/** The first half is last: the next to send. */
function halves({ from, to }: Range): Range[] {
  const middle = (from + to) >>> 1
  return [
    { from: middle, to },
    { from, to: middle },
  ]
}

/** The ranges of the batch, one for each request. */
function cut({ count, maxEvents }: Task): Range[] {
  const ranges: Range[] = []
  for (let from = 0; from < count; from += maxEvents) ranges.push({ from, to: Math.min(count, from + maxEvents) })
  return ranges
}

/** Number of events of the range that are sent. */
export function sentOf({ from, to }: Range, refused: ReadonlyMap<number, unknown>): number {
  let events = to - from
  for (const index of refused.keys()) if (index >= from && index < to) events--
  return events
}

interface Sum {
  readonly reason: RefusalReason
  readonly message: string
  events: number
  /** Absent if the sink reported only a number. */
  readonly which: number[] | undefined
}

/** The number of settled events of the batch, and its refusals: per reason one with indexes, and one for events known only by their number. */
class Tally {
  readonly #task: Task
  readonly #refusals = new Map<string, Sum>()
  #settled = 0

  constructor(task: Task) {
    this.#task = task
  }

  /** The events of the range that were sent. */
  refuse({ from, to }: Range, reason: RefusalReason, message: string): void {
    for (let i = from; i < to; i++) if (!this.#task.refused.has(i)) this.#refuse(i, reason, message)
  }

  /** A number of unknown events. */
  refuseSome(reason: RefusalReason, events: number, message: string): void {
    if (events > 0) this.#sum(`some ${reason}`, { reason, message, events: 0, which: undefined }).events += events
  }

  /** Settles the range; its events that were not sent are refused. */
  settle({ from, to }: Range): void {
    this.#settled = to
    if (this.#task.refused.size === 0) return
    for (let i = from; i < to; i++) {
      const reason = this.#task.refused.get(i)
      if (reason !== undefined) this.#refuse(i, reason, this.#task.explain(reason))
    }
  }

  #refuse(index: number, reason: RefusalReason, message: string): void {
    const sum = this.#sum(`these ${reason}`, { reason, message, events: 0, which: [] })
    sum.events++
    sum.which?.push(index)
  }

  #sum(key: string, empty: Sum): Sum {
    const found = this.#refusals.get(key)
    if (found === undefined) this.#refusals.set(key, empty)
    return found ?? empty
  }

  held(error: ExportError): Outcome {
    // Settled events are reported first; the next call, which follows at once, returns `hold`.
    return this.#settled === 0 ? { status: 'hold', error } : this.interrupted(error, 0, 0)
  }

  /** The sink requires a wait. */
  interrupted(error: ExportError, afterMs: number | undefined, unacknowledged: number): Outcome {
    const refusals = this.#list()
    return {
      status: 'retryable',
      ...(afterMs === undefined ? {} : { afterMs }),
      ...(this.#settled === 0 ? {} : { taken: this.#settled }),
      unacknowledged,
      ...(refusals.length === 0 ? {} : { refusals }),
      error,
    }
  }

  done(): Outcome {
    const refusals = this.#list()
    const [first] = refusals
    if (first === undefined) return { status: 'delivered' }
    if (first.events < this.#task.count) return { status: 'partial', refusals }
    return { status: 'rejected', reason: first.reason, error: new ExportError('IO', first.message) }
  }

  #list(): readonly Refusal[] {
    return [...this.#refusals.values()].map(({ reason, events, which, message }) => {
      if (which === undefined) return { reason, events, message }
      return { reason, events, which: which.toSorted((a, b) => a - b), message }
    })
  }
}
