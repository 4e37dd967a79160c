/** Number ranges of the events that exporters lost, by exporter and reason, since their last loss record. */
import type { NumberRange } from '../../exporters/contract/event.ts'
import type { Lost } from '../../exporters/index.ts'

export interface LostRange {
  readonly events: number
  readonly firstSeq: number
  readonly lastSeq: number
  /** Numbers of the exporter; undefined unless all are known. */
  readonly numbers: NumberRange | undefined
}

export class LostRanges {
  readonly #epoch: string
  readonly #ranges = new Map<string, LostRange>()

  /** `epoch`: that of this run of the agent. */
  constructor(epoch: string) {
    this.#epoch = epoch
  }

  /** Adds lost events with known numbers. Ignores events of another run: their numbers mean nothing in this run's records. */
  note(exporter: string, { reason, events, firstSeq, lastSeq, numbers, epoch }: Lost): void {
    if (epoch !== undefined && epoch !== this.#epoch) return
    const key = keyOf(exporter, reason)
    const known = this.#ranges.get(key)
    this.#ranges.set(key, {
      events: events + (known?.events ?? 0),
      firstSeq: Math.min(firstSeq, known?.firstSeq ?? firstSeq),
      lastSeq: Math.max(lastSeq, known?.lastSeq ?? lastSeq),
      numbers: known === undefined ? numbers : joined(known.numbers, numbers),
    })
  }

  /** Returns and clears the range. */
  take(exporter: string, reason: string): LostRange | undefined {
    const key = keyOf(exporter, reason)
    const range = this.#ranges.get(key)
    this.#ranges.delete(key)
    return range
  }
}

function joined(a: NumberRange | undefined, b: NumberRange | undefined): NumberRange | undefined {
  return a && b && { first: Math.min(a.first, b.first), last: Math.max(a.last, b.last) }
}

function keyOf(exporter: string, reason: string): string {
  return `${exporter}\0${reason}`
}
