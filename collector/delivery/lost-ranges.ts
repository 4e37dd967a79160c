/** Which events exporters have given up, by exporter and reason, since a loss record last said so. */
import type { Lost } from '../../exporters/index.ts'

/** Of events with known numbers. */
export interface LostRange {
  readonly events: number
  readonly firstSeq: number
  readonly lastSeq: number
}

export class LostRanges {
  readonly #epoch: string
  readonly #ranges = new Map<string, LostRange>()

  /** `epoch`: of this run of the agent. */
  constructor(epoch: string) {
    this.#epoch = epoch
  }

  /** An exporter has just given up events, and it is known which. Numbers of another run would say nothing in a record of this one. */
  note(exporter: string, { reason, events, firstSeq, lastSeq, epoch }: Lost): void {
    if (epoch !== undefined && epoch !== this.#epoch) return
    const key = keyOf(exporter, reason)
    const known = this.#ranges.get(key)
    this.#ranges.set(key, {
      events: events + (known?.events ?? 0),
      firstSeq: Math.min(firstSeq, known?.firstSeq ?? firstSeq),
      lastSeq: Math.max(lastSeq, known?.lastSeq ?? lastSeq),
    })
  }

  /** What was noted since the last call. */
  take(exporter: string, reason: string): LostRange | undefined {
    const key = keyOf(exporter, reason)
    const range = this.#ranges.get(key)
    this.#ranges.delete(key)
    return range
  }
}

function keyOf(exporter: string, reason: string): string {
  return `${exporter}\0${reason}`
}
