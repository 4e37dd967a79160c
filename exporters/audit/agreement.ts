/**
 * Compares the two numbers of each record of a run: `seq` counts the events of the run, `exporter_seq` those that the exporter got. Both rise
 * together, `seq` at least as fast; for an exporter without a filter, exactly as fast.
 */
/** Events without a record, although the numbers of the exporter have no gap there. */
export interface Hole {
  /** The number of the exporter's record behind it. */
  readonly before: number
  readonly events: number
}

interface Numbers {
  readonly number: number
  readonly seq: number
}

/** Bounds memory: an exporter with a filter has as many as the filter left out. */
const MAX_OFFSETS = 1000

export class Agreement {
  /** By place; records of a place are compared in order. */
  readonly #last = new Map<string, Numbers>()
  /** First and last number by `seq` - `exporter_seq`. */
  readonly #offsets = new Map<number, { first: number; last: number }>()
  /** Records whose two numbers contradict each other, or those of the record before. */
  disagreeing = 0

  add(place: string, number: number, seq: number): void {
    const last = this.#last.get(place)
    this.#last.set(place, { number, seq })
    if (seq < number || (last !== undefined && !agree(last, { number, seq }))) {
      this.disagreeing++
      return
    }
    const known = this.#offsets.get(seq - number)
    if (known === undefined) {
      if (this.#offsets.size < MAX_OFFSETS) this.#offsets.set(seq - number, { first: number, last: number })
    } else {
      known.first = Math.min(known.first, number)
      known.last = Math.max(known.last, number)
    }
  }

  /** Holes of an exporter without a filter. Lost records are no holes: both of their numbers are missing. Empty where numbers disagree. */
  get holes(): Hole[] {
    if (this.disagreeing > 0) return []
    const steps = [...this.#offsets].toSorted(([, a], [, b]) => a.first - b.first)
    return steps.slice(1).map(([offset, { first }], i) => ({ before: first, events: offset - (steps[i]?.[0] ?? 0) }))
  }
}

function agree(a: Numbers, b: Numbers): boolean {
  const [numbers, events] = [b.number - a.number, b.seq - a.seq]
  return Math.sign(numbers) === Math.sign(events) && Math.abs(events) >= Math.abs(numbers)
}
