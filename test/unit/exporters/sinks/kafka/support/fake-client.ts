/** Kafka in memory: partitions as lists, failures by plan. */
import type { Client, Partitions } from '../../../../../../exporters/sinks/kafka/client/client.ts'
import type { KafkaRecord, Records } from '../../../../../../exporters/sinks/kafka/client/record-batch.ts'
import { KafkaFault, UNKNOWN_TOPIC } from '../../../../../../exporters/sinks/kafka/client/faults.ts'
import type { FaultKind } from '../../../../../../exporters/sinks/kafka/client/faults.ts'
import type { KafkaConnection } from '../../../../../../exporters/sinks/kafka/client/connection.ts'

export const fault = (kind: FaultKind, code: string = kind): KafkaFault =>
  new KafkaFault(kind, code, `planned: ${code}`)

export interface Call {
  readonly topic: string
  readonly partition: number
  readonly records: readonly KafkaRecord[]
}

export class FakeClient implements Client {
  readonly topics = new Map<string, KafkaRecord[][]>()
  readonly calls: Call[] = []
  resets = 0
  /** The message of the last reset. */
  connection: KafkaConnection | undefined
  asked = 0
  /** The answer to a request for partitions, for all topics. */
  silence: KafkaFault | undefined
  closed = false
  mostAtOnce = 0
  #inFlight = new Map<string, number>()
  /** The answer of a call: undefined for stored, a fault for refused. May wait. */
  plan: (call: Call) => KafkaFault | undefined | Promise<KafkaFault | undefined> = () => undefined

  constructor(topics: Readonly<Record<string, number>> = { events: 1 }) {
    for (const [name, count] of Object.entries(topics)) this.create(name, count)
  }

  create(name: string, count: number): void {
    this.topics.set(
      name,
      Array.from({ length: count }, () => []),
    )
  }

  /** Lines stored in a partition. */
  lines(topic = 'events', partition = 0): string[] {
    return (this.topics.get(topic)?.[partition] ?? []).map(({ value }) => value.toString())
  }

  async partitions(topics: readonly string[]): Promise<Partitions> {
    this.asked++
    if (this.silence !== undefined) throw this.silence
    return new Map(
      topics.map((topic) => [topic, this.topics.get(topic)?.length ?? fault('config', UNKNOWN_TOPIC)] as const),
    )
  }

  async send(topic: string, partition: number, given: Records): Promise<void> {
    const records = copiesOf(given)
    const name = `${topic}/${partition}`
    const inFlight = (this.#inFlight.get(name) ?? 0) + 1
    this.#inFlight.set(name, inFlight)
    this.mostAtOnce = Math.max(this.mostAtOnce, inFlight)
    try {
      // Real clients send after the call has returned.
      await Promise.resolve()
      this.calls.push({ topic, partition, records })
      const refused = await this.plan({ topic, partition, records })
      if (refused !== undefined) throw refused
      this.topics.get(topic)?.[partition]?.push(...records)
    } finally {
      this.#inFlight.set(name, (this.#inFlight.get(name) ?? 1) - 1)
    }
  }

  reset(connection?: KafkaConnection): Promise<void> {
    this.resets++
    this.connection = connection ?? this.connection
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }
}

function copiesOf(given: Records): KafkaRecord[] {
  const records: KafkaRecord[] = []
  for (let i = 0; i < given.length; i++) {
    const record = given.at(i)
    if (record === undefined) continue
    const { key, value, common, own, timestampMs } = record
    records.push({ key, value, common, own, timestampMs })
  }
  return records
}
