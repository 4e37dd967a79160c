/**
 * Numbers of the records of one exporter: 0, 1, 2 … in each run of the agent, after the exporter's filter and before its queue. A reader of
 * the sink finds a lost record as a gap and one that was sent again as the same number (docs/explanation/audit-algorithm.md).
 */
export class Numbering {
  readonly exporter: string
  /** This run of the agent. */
  readonly run: string
  /** With Kafka, by topic and partition: the number of records of this run that are settled there. */
  readonly partitions: Map<string, PartitionNumbers> = new Map()
  #next = 0

  constructor(exporter: string, run: string) {
    this.exporter = exporter
    this.run = run
  }

  /** The number of the next accepted record. An encoder that writes numbers is called right before its records are accepted. */
  get next(): number {
    return this.#next
  }

  /** Takes numbers for `count` records; returns the first. */
  take(count: number): number {
    const first = this.#next
    this.#next += count
    return first
  }
}

/** Numbers of the records that this run sent to one partition: each is taken when the partition has settled the one before. */
export interface PartitionNumbers {
  readonly topic: string
  readonly partition: number
  next: number
}

/** The numbering of each exporter of this run. An exporter that is replaced under its name continues its numbers. */
export class Numberings {
  readonly #run: string
  readonly #made = new Map<string, Numbering>()

  constructor(run: string) {
    this.#run = run
  }

  of(exporter: string): Numbering {
    let numbering = this.#made.get(exporter)
    if (numbering === undefined) this.#made.set(exporter, (numbering = new Numbering(exporter, this.#run)))
    return numbering
  }
}
