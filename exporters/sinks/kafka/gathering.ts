/**
 * Format `otlp_proto`: a record holds many events, as an ExportLogsServiceRequest in protobuf: what OpenTelemetry's Kafka receiver reads
 * under that name. Headers: content-type, node, schema, `seq` of the first event, `events`.
 */
import { createEnvelope } from '../../encoding/otlp/envelope.ts'
import type { Envelope } from '../../encoding/otlp/envelope.ts'
import type { Resource } from '../../encoding/otlp/resource.ts'
import type { KafkaRecord } from './drivers/driver.ts'
import type { RecordHeaders } from './headers.ts'

export class Gathering {
  readonly #envelope: Envelope
  readonly #common: KafkaRecord['common']

  constructor(resource: Resource, headers: RecordHeaders) {
    this.#envelope = createEnvelope('otlp', resource)
    this.#common = headers.ofMany
  }

  /** The events, whose values are LogRecords of encoding `otlp`, as one record for each key. The same events make the same records. */
  of(events: readonly KafkaRecord[]): KafkaRecord[] {
    return [...Map.groupBy(events, ({ key }) => key)].map(([key, own]) => {
      const { length, runs } = runsOf(own)
      const value = Buffer.concat([this.#envelope.head(length), ...runs])
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

/** The values in as few pieces as they lie in: most follow each other in the bytes of a part, and each piece has a price of its own. */
function runsOf(events: readonly KafkaRecord[]): { readonly length: number; readonly runs: Uint8Array[] } {
  const runs: Uint8Array[] = []
  let length = 0
  let buffer: ArrayBufferLike | undefined
  let from = 0
  let to = 0
  const end = (): void => void (buffer !== undefined && runs.push(new Uint8Array(buffer, from, to - from)))
  for (const { value } of events) {
    length += value.length
    if (value.buffer !== buffer || value.byteOffset !== to) {
      end()
      buffer = value.buffer
      from = value.byteOffset
      to = from
    }
    to += value.length
  }
  end()
  return { length, runs }
}
