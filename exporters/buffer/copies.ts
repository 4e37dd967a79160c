import type { InFlightBatch } from './in-flight-batch.ts'

interface Copy {
  readonly inFlightBatch: InFlightBatch
  readonly from: number
  readonly end: number
}

/** Where in the spool copies of flights lie that were under way when events began to be written. Positions, not events. */
export class Copies {
  #all: Copy[] = []

  get some(): boolean {
    return this.#all.length > 0
  }

  add(inFlightBatch: InFlightBatch, from: number, end: number): void {
    this.#all.push({ inFlightBatch, from, end })
  }

  /** Whose copy was read at this position; it is none any more. undefined when it is no copy. */
  take(position: number): InFlightBatch | undefined {
    const found = this.#all.find(({ from, end }) => position >= from && position < end)
    if (found !== undefined) this.#all = this.#all.filter((other) => other !== found)
    return found?.inFlightBatch
  }

  /** The spool has lost these positions. Returns how many of them were copies; their flights are in memory only again. */
  lose(from: number, to: number): number {
    let lost = 0
    this.#all = this.#all.flatMap((copy) => {
      const [low, high] = [Math.max(from, copy.from), Math.min(to, copy.end)]
      if (low >= high) return [copy]
      lost += high - low
      copy.inFlightBatch.memoryOnly = true
      const rest = [
        { ...copy, end: low },
        { ...copy, from: high },
      ]
      return rest.filter((one) => one.from < one.end)
    })
    return lost
  }
}
