/** Random numbers from a seed: the same seed gives the same run on every machine. */
export class Seeded {
  #state: number

  constructor(seed: number) {
    // Adjacent seeds must not give similar runs.
    this.#state = Math.imul(seed ^ (seed >>> 16), 0x45d9f3b) ^ 0x9e3779b9
    for (let i = 0; i < 4; i++) this.next()
  }

  /** In [0, 1). mulberry32. */
  readonly next = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }

  /** An integer from 0 up to `below` (exclusive). */
  int(below: number): number {
    return Math.floor(this.next() * below)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(of: readonly T[]): T | undefined {
    return of[this.int(of.length)]
  }
}
