/** What is known of each topic: how many partitions it has, and how large a batch of records it takes. */
import type { KafkaDriver } from './drivers/driver.ts'
import { faultOf } from './faults.ts'
import type { KafkaFault } from './faults.ts'

/** How long a number of partitions is believed: what Kafka's own clients do. */
const BELIEVED_MS = 300_000
/** How long an old one is kept when nobody says another. */
const KEPT_MS = 30_000

interface Known {
  readonly count: number
  readonly untilMs: number
  /** Uncompressed. */
  readonly limitBytes: number
}

export class Topics {
  readonly #known = new Map<string, Known>()
  readonly #limitBytes: number
  readonly #nowMs: () => number

  constructor(limitBytes: number, nowMs: () => number) {
    this.#limitBytes = limitBytes
    this.#nowMs = nowMs
  }

  /** The numbers of partitions, and what is wrong with the topics that have none here. Asks when it must, for all at once. */
  async find(
    driver: KafkaDriver,
    topics: ReadonlySet<string>,
  ): Promise<{ readonly counts: ReadonlyMap<string, number>; readonly faults: readonly KafkaFault[] }> {
    const nowMs = this.#nowMs()
    const asked = [...topics].filter((topic) => (this.#known.get(topic)?.untilMs ?? 0) <= nowMs)
    const faults = asked.length === 0 ? [] : await this.#ask(driver, asked)
    const counts = new Map<string, number>()
    for (const topic of topics) {
      const count = this.#known.get(topic)?.count
      if (count !== undefined) counts.set(topic, count)
    }
    return { counts, faults }
  }

  /** What is known of its partitions may be wrong: to be asked before the next use. */
  doubt(topic: string): void {
    const known = this.#known.get(topic)
    if (known !== undefined) this.#known.set(topic, { ...known, untilMs: 0 })
  }

  /** Most bytes of one batch. */
  limitOf(topic: string): number {
    return this.#known.get(topic)?.limitBytes ?? this.#limitBytes
  }

  /** The brokers refused more than this for this topic, and took this. Holds until its partitions are asked for again. */
  limit(topic: string, bytes: number): void {
    const known = this.#known.get(topic)
    if (known !== undefined) this.#known.set(topic, { ...known, limitBytes: bytes })
  }

  /** Brokers that do not answer now are no reason to stop: an old number is kept, and the leaders say whether it is wrong. */
  async #ask(driver: KafkaDriver, topics: readonly string[]): Promise<KafkaFault[]> {
    let failed: KafkaFault | undefined
    const answers = await driver.partitions(topics).catch((error: unknown) => {
      failed = faultOf(error, 'ask for topics')
      return undefined
    })
    const faults = new Set<KafkaFault>()
    for (const topic of topics) {
      const answer = answers?.get(topic) ?? failed
      const known = this.#known.get(topic)
      if (typeof answer === 'number') {
        this.#known.set(topic, { count: answer, untilMs: this.#nowMs() + BELIEVED_MS, limitBytes: this.#limitBytes })
      } else if (answer !== undefined && (known === undefined || answer.kind === 'config')) {
        this.#known.delete(topic)
        faults.add(answer)
      } else if (known !== undefined) {
        this.#known.set(topic, { ...known, untilMs: this.#nowMs() + KEPT_MS })
      }
    }
    return [...faults]
  }
}
