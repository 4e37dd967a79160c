/** Caches each topic's number of partitions and maximum batch size. */
import type { Client } from './client/client.ts'
import { faultOf } from './client/faults.ts'
import type { KafkaFault } from './client/faults.ts'

/** Time for which a number of partitions is valid, as in Kafka's own clients. */
const BELIEVED_MS = 300_000
/** Time for which an old number is used while no broker answers. */
const KEPT_MS = 30_000

interface CachedTopic {
  readonly count: number
  readonly untilMs: number
  /** Uncompressed. */
  readonly limitBytes: number
}

export class Topics {
  readonly #known = new Map<string, CachedTopic>()
  readonly #limitBytes: number
  readonly #nowMs: () => number

  constructor(limitBytes: number, nowMs: () => number) {
    this.#limitBytes = limitBytes
    this.#nowMs = nowMs
  }

  /** The numbers of partitions, or faults, of all topics. Requests missing ones together. */
  async find(
    client: Client,
    topics: ReadonlySet<string>,
  ): Promise<{ readonly counts: ReadonlyMap<string, number>; readonly faults: readonly KafkaFault[] }> {
    const nowMs = this.#nowMs()
    const asked = [...topics].filter((topic) => (this.#known.get(topic)?.untilMs ?? 0) <= nowMs)
    const faults = asked.length === 0 ? [] : await this.#ask(client, asked)
    const counts = new Map<string, number>()
    for (const topic of topics) {
      const count = this.#known.get(topic)?.count
      if (count !== undefined) counts.set(topic, count)
    }
    return { counts, faults }
  }

  /** Requests the topic's partitions again before the next use. */
  doubt(topic: string): void {
    const known = this.#known.get(topic)
    if (known !== undefined) this.#known.set(topic, { ...known, untilMs: 0 })
  }

  /** Maximum bytes of a batch. */
  limitOf(topic: string): number {
    return this.#known.get(topic)?.limitBytes ?? this.#limitBytes
  }

  /** Remembers the largest accepted size after a refusal, until the topic's partitions are requested again. */
  limit(topic: string, bytes: number): void {
    const known = this.#known.get(topic)
    if (known !== undefined) this.#known.set(topic, { ...known, limitBytes: bytes })
  }

  /** Keeps an old number if no broker answers; the leaders refuse records if it is wrong. */
  async #ask(client: Client, topics: readonly string[]): Promise<KafkaFault[]> {
    let failed: KafkaFault | undefined
    const answers = await client.partitions(topics).catch((error: unknown) => {
      failed = faultOf(error, 'request topics')
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
