/**
 * Format `otlp_proto`: a record holds many events, as an ExportLogsServiceRequest in protobuf: what OpenTelemetry's Kafka receiver reads
 * and its Kafka exporter writes under that name. Headers: content-type, node, schema, `seq` of the first event, `events`.
 */
import { createEnvelope } from '../encoding/otlp/envelope.ts'
import type { Envelope, ResourceOptions } from '../encoding/otlp/envelope.ts'
import type { KafkaRecord } from './drivers/driver.ts'
import type { RecordHeaders } from './headers.ts'

export class Gathering {
  readonly #envelope: Envelope
  readonly #common: KafkaRecord['common']

  constructor(resource: ResourceOptions, headers: RecordHeaders) {
    this.#envelope = createEnvelope('otlp', resource)
    this.#common = headers.ofMany
  }

  /** The events, whose values are LogRecords of encoding `otlp`, as one record for each key. The same events make the same records. */
  of(events: readonly KafkaRecord[]): KafkaRecord[] {
    return [...Map.groupBy(events, ({ key }) => key)].map(([key, own]) => {
      const length = own.reduce((sum, { value }) => sum + value.length, 0)
      const value = Buffer.concat([this.#envelope.head(length), ...own.map((event) => event.value)])
      const [first] = own
      return {
        key,
        value,
        common: this.#common,
        own: { seq: first?.own['seq'] ?? '', events: String(own.length) },
        timestampMs: first?.timestampMs ?? 0,
      }
    })
  }
}
