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
  /** Absent if no limits are learned from the sink. */
  readonly learned?: Learned
  /** The message for events refused for a reason. */
  explain(reason: LimitReason): string
  /** Maximum events of a request. */
  readonly maxEvents: number
  /** Sends the events of a range, except refused ones. */
  post(range: Range): Promise<Verdict>
}

/** Limits learned from the sink. */
export interface Learned {
  /** Whether a reason is a learned limit, not a configured one. */
  applies(reason: LimitReason): boolean
  /** Forgets them; `refused` then only has events beyond configured limits. */
  forget(): void
  /** Sends one event, refused or not. */
  probe(index: number): Promise<Verdict>
}

/**
 * After so many single events refused in a row the sink itself is at fault: it needs manual action, and no more events are
 * rejected.
 */
const SINGLES_IN_A_ROW = 8
/**
 * The same for events beyond a learned limit; higher, because other events may be within it. Events that are too old do not
 * count, because younger ones follow.
 */
const ASIDE_IN_A_ROW = 10_000

/** State kept between batches. */
export interface Doubt {
  /** Single events refused since the sink last accepted any. */
  singles: number
  /** Events beyond learned limits since the sink last accepted any. */
  aside: number
}

/** Sends until every event is settled or the sink requires a wait. */
export async function deliver(task: Task, doubt: Doubt): Promise<Outcome> {
  const tally = new Tally(task)
  const ranges = cut({ from: 0, to: task.count }, task.maxEvents).toReversed()
  let isTrusted = false
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const events = tally.sendable(range)
    const aside = tally.aside(range)
    if (task.learned !== undefined && events === 0 && aside > 0 && doubt.aside + aside > ASIDE_IN_A_ROW) {
      const verdict = await task.learned.probe(tally.firstAside(range))
      if (verdict.is === 'faulty' || verdict.is === 'narrowed')
        return tally.held(overdone(task, tally.firstAside(range)))
      if (verdict.is !== 'taken' || verdict.rejected > 0) return tally.unfinished(verdict, 1)
      doubt.aside = 0
      task.learned.forget()
      ranges.push(range)
      continue
    }
    // Oversight is impossible: what is left out here is counted by `settle`.
    const verdict: Verdict = events === 0 ? NOTHING_SENT : await task.post(range)
    switch (verdict.is) {
      case 'taken': {
        const rejected = Math.min(verdict.rejected, events)
        if (rejected < events) {
          doubt.singles = 0
          doubt.aside = 0
        }
        const message = verdict.warning || NO_REASON
        if (rejected < events) tally.refuseSome(verdict.reason, rejected, message)
        else tally.refuse(range, verdict.reason, message)
        doubt.aside += tally.aside(range)
        tally.settle(range)
        break
      }
      case 'refused':
        tally.refuse(range, verdict.reason, verdict.error.message)
        tally.settle(range)
        break
      case 'narrowed':
        ranges.push(range)
        break
      case 'faulty':
        if (events > 1) {
          const middle = (range.from + range.to) >>> 1
          ranges.push({ from: middle, to: range.to }, { from: range.from, to: middle })
          break
        }
        if (isDoubtful(doubt, verdict) && !isTrusted) {
          isTrusted = await takesAnother(task, range)
          if (!isTrusted) return tally.held(doubtful(verdict.error))
        }
        if (verdict.named === undefined) doubt.singles++
        else doubt.aside++
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

function isDoubtful({ singles, aside }: Doubt, { named }: Extract<Verdict, { is: 'faulty' }>): boolean {
  return named === undefined ? singles >= SINGLES_IN_A_ROW : aside >= ASIDE_IN_A_ROW
}

function overdone(task: Task, index: number): ExportError {
  const reason = task.refused.get(index)
  const why = reason === undefined ? '' : `: ${task.explain(reason)}`
  const message = `the sink has refused ${ASIDE_IN_A_ROW} events in a row and accepted none${why}; raise that limit at the sink`
  return new ExportError('IO', message)
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

function doubtful(error: ExportError): ExportError {
  const why = `it has refused ${SINGLES_IN_A_ROW} single records in a row and accepted none`
  return new ExportError('IO', `${error.message}; ${why}: check the endpoint, then reopen (SIGHUP)`, error)
}

const NO_REASON = 'the sink refused records of an accepted request without a reason'
const NOTHING_SENT: Verdict = { is: 'taken', rejected: 0, reason: 'partial', warning: '' }

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

  /** Events of the range beyond a learned limit, except those that are too old. */
  aside({ from, to }: Range): number {
    let events = 0
    if (this.#task.refused.size > 0) for (let i = from; i < to; i++) if (this.#isAside(i)) events++
    return events
  }

  firstAside({ from, to }: Range): number {
    let at = from
    while (at < to - 1 && !this.#isAside(at)) at++
    return at
  }

  #isAside(index: number): boolean {
    const reason = this.#task.refused.get(index)
    return reason !== undefined && reason !== 'too_old' && this.#task.learned?.applies(reason) === true
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
