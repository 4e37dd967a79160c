/**
 * Format `otlp_proto` of OpenTelemetry's Kafka receiver: a record has many events as an ExportLogsServiceRequest in protobuf.
 * Headers: content-type, node, schema, `seq` of the first event, `events`.
 */
import { createEnvelope } from '../../encoding/otlp/envelope.ts'
import type { Envelope } from '../../encoding/otlp/envelope.ts'
import type { Resource } from '../../encoding/otlp/resource.ts'
import type { KafkaRecord } from './client/record-batch.ts'
import type { RecordHeaders } from './headers.ts'

export class Gathering {
  readonly #envelope: Envelope
  readonly #common: KafkaRecord['common']

  constructor(resource: Resource, headers: RecordHeaders) {
    this.#envelope = createEnvelope('otlp', resource)
    this.#common = headers.ofMany
  }

  /** Joins events in encoding `otlp` into one record per key. The same events give the same records. */
  of(events: readonly KafkaRecord[]): KafkaRecord[] {
    return [...Map.groupBy(events, ({ key }) => key)].map(([key, own]) => {
      const { length, runs } = runsOf(own)
      const value = Buffer.concat([this.#envelope.head(length), ...runs, this.#envelope.tail])
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

/** Joins adjacent values: most follow each other in a part, and each piece has a cost. */
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
