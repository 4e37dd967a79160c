import type { Flight } from '../sending/flight.ts'

interface Copy {
  readonly flight: Flight
  readonly from: number
  readonly end: number
}

/** Where in the spool copies of flights lie that were under way when events began to be written. Positions, not events. */
export class Copies {
  #all: Copy[] = []

  get some(): boolean {
    return this.#all.length > 0
  }

  add(flight: Flight, from: number, end: number): void {
    this.#all.push({ flight, from, end })
  }

  /** Whose copy was read at this position; it is none any more. undefined when it is no copy. */
  take(position: number): Flight | undefined {
    const found = this.#all.find(({ from, end }) => position >= from && position < end)
    if (found !== undefined) this.#all = this.#all.filter((other) => other !== found)
    return found?.flight
  }

  /** The spool has lost these positions. Returns how many of them were copies; their flights are in memory only again. */
  lose(from: number, to: number): number {
    let lost = 0
    this.#all = this.#all.flatMap((copy) => {
      const [low, high] = [Math.max(from, copy.from), Math.min(to, copy.end)]
      if (low >= high) return [copy]
      lost += high - low
      copy.flight.memoryOnly = true
      const rest = [
        { ...copy, end: low },
        { ...copy, from: high },
      ]
      return rest.filter((one) => one.from < one.end)
    })
    return lost
  }
}
