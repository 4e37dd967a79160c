/**
 * Sends a batch in one request, or in halves if the sink refuses a part of it. Events are settled in order, so that an
 * interrupted call can report how many are done.
 */
import { ExportError } from '../../contract/errors.ts'
import type { Outcome } from '../../contract/exporter.ts'
import type { LimitReason } from './loki/limits.ts'
import type { RefusalReason, Verdict } from './outcome.ts'
import { Refusals } from './refusals.ts'

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
  const ranges = cut({ from: 0, to: task.count }, task.maxEvents).toReversed()
  let isTrusted = false
  let narrowed = 0
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const events = tally.sendable(range)
    // Oversight is impossible: `settle` counts events that are left out here.
    const verdict: Verdict = events === 0 ? NOTHING_SENT : await task.post(range)
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
      case 'again':
        return tally.unfinished(verdict, events)
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
const NOTHING_SENT: Verdict = { is: 'taken', rejected: 0, reason: 'partial', warning: '' }

/** The first half is last: the next to send. */
function halves({ from, to }: Range): Range[] {
  const middle = (from + to) >>> 1
  return [
    { from: middle, to },
    { from, to: middle },
  ]
}

function cut({ from, to }: Range, maxEvents: number): Range[] {
  if (to - from <= maxEvents) return [{ from, to }]
  const ranges: Range[] = []
  for (let at = from; at < to; at += maxEvents) ranges.push({ from: at, to: Math.min(to, at + maxEvents) })
  return ranges
}

/** The number of settled events of the batch, and its refusals. */
class Tally {
  readonly #task: Task
  readonly #refusals = new Refusals()
  #settled = 0

  constructor(task: Task) {
    this.#task = task
  }

  sendable({ from, to }: Range): number {
    let events = to - from
    if (this.#task.refused.size > 0) for (let i = from; i < to; i++) if (this.#task.refused.has(i)) events--
    return events
  }

  refuse({ from, to }: Range, reason: RefusalReason, message: string): void {
    const sent: number[] = []
    for (let i = from; i < to; i++) if (!this.#task.refused.has(i)) sent.push(i)
    this.#refusals.add(reason, sent, message)
  }

  refuseSome(reason: RefusalReason, events: number, message: string): void {
    this.#refusals.addSome(reason, events, message)
  }

  /** Settles the range; its events that were not sent are refused. */
  settle({ from, to }: Range): void {
    this.#settled = to
    if (this.#task.refused.size === 0) return
    for (let i = from; i < to; i++) {
      const reason = this.#task.refused.get(i)
      if (reason !== undefined) this.#refusals.add(reason, [i], this.#task.explain(reason))
    }
  }

  held(error: ExportError): Outcome {
    // Settled events are reported first; the next call, which follows at once, returns `hold`.
    return this.#settled === 0 ? { status: 'hold', error } : this.interrupted(error, 0, 0)
  }

  /** The sink requires a wait; `events` were sent. */
  unfinished(verdict: Verdict, events: number): Outcome {
    if (verdict.is === 'again') {
      return this.interrupted(verdict.error, verdict.afterMs, verdict.unacknowledged ? events : 0)
    }
    return this.held('error' in verdict ? verdict.error : new ExportError('IO', NO_REASON))
  }

  interrupted(error: ExportError, afterMs: number | undefined, unacknowledged: number): Outcome {
    return {
      status: 'retryable',
      ...(afterMs === undefined ? {} : { afterMs }),
      ...(this.#settled === 0 ? {} : { taken: this.#settled }),
      unacknowledged,
      ...(this.#refusals.events === 0 ? {} : { refusals: this.#refusals.list() }),
      error,
    }
  }

  done(): Outcome {
    if (this.#refusals.events === 0) return { status: 'delivered' }
    const refusals = this.#refusals.list()
    const [first, ...others] = refusals
    if (first === undefined || others.length > 0 || first.events < this.#task.count)
      return { status: 'partial', refusals }
    return { status: 'rejected', reason: first.reason, error: new ExportError('IO', first.message) }
  }
}
