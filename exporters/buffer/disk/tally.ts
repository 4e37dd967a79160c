/** The spool's counters: lost events and failed operations. */
import type { SpoolCounts } from '../../contract/accounting.ts'
import { Histogram } from '../../runtime/histogram.ts'
import type { Segment } from './catalog.ts'

/** Seconds of a sync, from a battery-backed cache to a failing disk. */
const SYNC_SECONDS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]

/** Why: the size or disk limit, the age limit, or damage (a bad checksum, a missing or unreadable file). */
export type LossReason = keyof SpoolCounts['lost']

export interface Loss {
  readonly reason: LossReason
  readonly events: number
  /** Positions in this spool, `to` exclusive. */
  readonly from: number
  readonly to: number
  /**
   * Inclusive range of the appender's numbers of the lost events; undefined if unknown. With filters or several epochs the range
   * also has numbers that were never in the spool.
   */
  readonly marks: { readonly epoch: string; readonly first: number; readonly last: number } | undefined
}

/** The numbers of all events of a segment, if known. */
export function marksOf({ header, lastMark }: Segment, next: Segment | undefined): Loss['marks'] {
  const { epoch, firstMark } = header
  const last = lastMark || (next?.header.previousMark ?? 0)
  return last >= firstMark ? { epoch, first: firstMark, last } : undefined
}

/** Operations that may fail; `cursor`: storing the position up to which events are settled. */
export type Work = keyof SpoolCounts['failures']

/** `error` is the system's error; '' when the operation works again. */
export type ReportFailure = (work: Work, error: string) => void

export class Tally implements SpoolCounts {
  appended = 0
  acked = 0
  corruptBytes = 0
  corruptFrames = 0
  possiblyLost = 0
  syncs = 0
  readonly syncSeconds: Histogram = new Histogram(SYNC_SECONDS)
  readonly failures: Record<Work, number> = { read: 0, write: 0, sync: 0, cursor: 0 }
  readonly lost: Record<LossReason, number> = { spool_full: 0, expired: 0, corrupt: 0 }
  readonly #failing = new Map<Work, string>()
  readonly #onLoss: (loss: Loss) => void
  readonly #onFailure: ReportFailure

  /** `onFailure` is called when an operation begins to fail and when it works again. */
  constructor(onLoss: (loss: Loss) => void = () => {}, onFailure: ReportFailure = () => {}) {
    this.#onLoss = onLoss
    this.#onFailure = onFailure
  }

  lose(loss: Loss): void {
    if (loss.events <= 0) return
    this.lost[loss.reason] += loss.events
    this.#onLoss(loss)
  }

  failed(work: Work, { message }: Error): void {
    this.failures[work]++
    const known = this.#failing.has(work)
    this.#failing.set(work, message)
    if (!known) this.#onFailure(work, message)
  }

  worked(work: Work): void {
    if (this.#failing.delete(work)) this.#onFailure(work, '')
  }

  /** The error of a current failure; '' without one. */
  get lastError(): string {
    return [...this.#failing.values()].at(-1) ?? ''
  }

  /** A copy of the counters, for `Spool.stats`. */
  read(): SpoolCounts {
    return { ...this, lost: { ...this.lost }, failures: { ...this.failures }, lastError: this.lastError }
  }
}
