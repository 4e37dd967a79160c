/** The numbers that a sink received from the runs of a repeatedly killed agent, with their order and repetitions. */

export interface LedgerOptions {
  /** It receives one request at a time: within a run numbers only grow, and no number first arrives after a higher one. */
  readonly ordered: boolean
}

interface Arrival {
  readonly run: number
  readonly atMs: number
}

export class Ledger {
  readonly name: string
  readonly ordered: boolean
  /** When and in which run each number last arrived. */
  readonly #arrivals = new Map<number, Arrival>()
  readonly #deathsMs = new Map<number, number>()
  #youngest = -1
  #run = -1
  #lastInRun = -1
  /** Numbers that arrived again. */
  duplicates = 0
  /** The longest time from the first arrival of a repeated number to the end of its run. */
  oldestRepeatedMs = 0

  constructor(name: string, { ordered }: LedgerOptions) {
    this.name = name
    this.ordered = ordered
  }

  get distinct(): number {
    return this.#arrivals.size
  }

  has(number: number): boolean {
    return this.#arrivals.has(number)
  }

  /** The agent of this run has ended. */
  died(run: number): void {
    this.#deathsMs.set(run, performance.now())
  }

  /** Throws an error for arrivals that must not happen, even with kills. */
  take(run: number, numbers: readonly number[]): void {
    if (run < this.#run) throw new Error(`${this.name}: run ${run} sends after run ${this.#run} has`)
    if (run > this.#run) this.#lastInRun = -1
    this.#run = run
    const atMs = performance.now()
    for (const number of numbers) {
      const before = this.#arrivals.get(number)
      if (before === undefined) this.#first(run, number)
      else this.#repeated(run, number, before)
      if (this.ordered && number <= this.#lastInRun)
        throw new Error(`${this.name}: in run ${run}, ${number} came after ${this.#lastInRun}`)
      this.#lastInRun = number
      this.#arrivals.set(number, { run, atMs })
    }
  }

  /** Numbers from `from` up to `to` (exclusive) that never arrived. */
  missing(from: number, to: number): number[] {
    const none: number[] = []
    for (let number = from; number < to; number++) if (!this.#arrivals.has(number)) none.push(number)
    return none
  }

  #first(run: number, number: number): void {
    if (this.ordered && number < this.#youngest)
      throw new Error(`${this.name}: in run ${run}, ${number} came for the first time after ${this.#youngest}`)
    this.#youngest = Math.max(this.#youngest, number)
  }

  #repeated(run: number, number: number, before: Arrival): void {
    this.duplicates++
    const deathMs = this.#deathsMs.get(before.run)
    if (before.run === run || deathMs === undefined)
      throw new Error(`${this.name}: ${number} came twice without a kill between, in runs ${before.run} and ${run}`)
    this.oldestRepeatedMs = Math.max(this.oldestRepeatedMs, deathMs - before.atMs)
  }
}
