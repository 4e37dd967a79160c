/**
 * Losses of one exporter that no loss record has reported yet, from its accounting.
 *
 * A loss record goes through the same exporters as all events: it can be lost itself, or push an event out of a full queue. If such
 * a loss caused a new record, an exporter that is down would cause records for ever. Therefore these losses are added to the next record that
 * has another cause, or to the last record at the stop.
 */
import type { Accounting } from '../../exporters/index.ts'

/** The part of the accounting that is read here. */
export type LossAccounting = Pick<Accounting, 'accepted' | 'heldEvents' | 'rejected' | 'dropped'>

/** Events lost for one reason. */
export interface Unreported {
  readonly reason: string
  readonly count: number
}

export class ExporterLosses {
  /** Lost events by reason, at the last check. */
  #seen: ReadonlyMap<string, number> = new Map()
  /** Lost events by reason, since the last record with that reason. */
  readonly #unreported = new Map<string, number>()
  /** Reasons with more losses than our own records explain: these cause a record. */
  readonly #reportable = new Set<string>()
  /** Loss records that this exporter may still lose. */
  #openRecords = 0
  /** Once this many events are settled, all loss records are. */
  #recordsSettledAt = 0
  /** Accepted loss records. */
  #records = 0
  /** Accepted events other than loss records, at the last check. */
  #others = 0

  /** The exporter has just accepted `records` loss records; `accepted` is the total of events that it has accepted. */
  offered(records: number, accepted: number): void {
    if (records === 0) return
    this.#records += records
    this.#openRecords += records
    this.#recordsSettledAt = accepted
  }

  /** Reads the accounting; call it every few seconds. */
  look(accounting: LossAccounting): void {
    const { accepted, heldEvents } = accounting
    const others = accepted - this.#records
    const onlyRecords = others === this.#others
    this.#others = others
    const lost = lostByReason(accounting)
    for (const [reason, count] of lost) {
      const grown = count - (this.#seen.get(reason) ?? 0)
      if (grown <= 0) continue
      this.#unreported.set(reason, (this.#unreported.get(reason) ?? 0) + grown)
      // Only loss records were accepted: they were dropped, or displaced other events.
      if (onlyRecords && reason === 'queue_full') continue
      const own = Math.min(grown, this.#openRecords)
      this.#openRecords -= own
      if (grown > own) this.#reportable.add(reason)
    }
    this.#seen = lost
    if (accepted - heldEvents >= this.#recordsSettledAt) this.#openRecords = 0
  }

  /** Returns the losses to report now and marks them as reported; with `all`, also losses that cause no record by themselves. */
  take(all: boolean): Unreported[] {
    const reported = [...this.#unreported].filter(([reason]) => all || this.#reportable.has(reason))
    for (const [reason] of reported) this.#unreported.delete(reason)
    this.#reportable.clear()
    return reported.map(([reason, count]) => ({ reason, count }))
  }
}

/** A sink's reason with the name of one of ours is added to ours. */
function lostByReason({ dropped, rejected }: LossAccounting): Map<string, number> {
  const lost = new Map<string, number>(Object.entries(dropped))
  for (const [reason, count] of Object.entries(rejected)) lost.set(reason, (lost.get(reason) ?? 0) + count)
  return lost
}
