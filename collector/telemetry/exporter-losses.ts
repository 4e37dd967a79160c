/**
 * What one exporter has lost and no loss record has told yet, from its books.
 *
 * A loss record goes through the same exporters as everything else, so it can be lost itself, or push something out of a
 * full queue. Were that news, an exporter that is down would make records for ever. It is not: such losses are added to
 * the next record that has another cause, and to the last one of all.
 */
import type { Accounting } from '../../exporters/index.ts'

/** What the attribution needs of the books. */
export type LossAccounting = Pick<Accounting, 'accepted' | 'heldEvents' | 'rejected' | 'dropped'>

/** Events lost for one reason. */
export interface Owed {
  readonly reason: string
  readonly count: number
}

export class ExporterLosses {
  /** By reason, at the last look. */
  #seen: ReadonlyMap<string, number> = new Map()
  /** By reason, since the last record of it. */
  readonly #owed = new Map<string, number>()
  /** Reasons of which more is owed than our own records explain. */
  readonly #news = new Set<string>()
  /** Loss records that this exporter may still lose, and the number of settled events at which it can not any more. */
  #suspects = 0
  #innocentAt = 0
  /** Loss records among what was accepted, and how many others were at the last look. */
  #records = 0
  #others = 0

  /** It has just accepted so many loss records, and everything it has accepted so far is `accepted`. */
  offered(records: number, accepted: number): void {
    if (records === 0) return
    this.#records += records
    this.#suspects += records
    this.#innocentAt = accepted
  }

  /** Reads the books; call it every few seconds. */
  look(accounting: LossAccounting): void {
    const { accepted, heldEvents } = accounting
    const others = accepted - this.#records
    const alone = others === this.#others
    this.#others = others
    const lost = lostByReason(accounting)
    for (const [reason, count] of lost) {
      const grown = count - (this.#seen.get(reason) ?? 0)
      if (grown <= 0) continue
      this.#owed.set(reason, (this.#owed.get(reason) ?? 0) + grown)
      // Nothing else came that could have been refused, or have pushed out what waited.
      if (alone && reason === 'queue_full') continue
      const blamed = Math.min(grown, this.#suspects)
      this.#suspects -= blamed
      if (grown > blamed) this.#news.add(reason)
    }
    this.#seen = lost
    if (accepted - heldEvents >= this.#innocentAt) this.#suspects = 0
  }

  /** What is to be told now, and no more after this call; with `all`, also what makes no record by itself. */
  take(all: boolean): Owed[] {
    const reported = [...this.#owed].filter(([reason]) => all || this.#news.has(reason))
    for (const [reason] of reported) this.#owed.delete(reason)
    this.#news.clear()
    return reported.map(([reason, count]) => ({ reason, count }))
  }
}

/** A sink may refuse for a reason that has the name of one of ours: then both are one. */
function lostByReason({ dropped, rejected }: LossAccounting): Map<string, number> {
  const lost = new Map<string, number>(Object.entries(dropped))
  for (const [reason, count] of Object.entries(rejected)) lost.set(reason, (lost.get(reason) ?? 0) + count)
  return lost
}
