/**
 * Format `otlp_proto` of OpenTelemetry's Kafka receiver: a record has many events as an ExportLogsServiceRequest in protobuf.
 * Headers: content-type, node, schema, `seq` of the first event, `events`.
 */
import { createEnvelope } from '../../encoding/otlp/envelope.ts'
import type { Envelope } from '../../encoding/otlp/envelope.ts'
import type { Resource } from '../../encoding/otlp/resource.ts'
import { endOf } from '../../contract/encoded.ts'
import type { Encoded } from '../../contract/exporter.ts'
import type { KafkaRecord } from './client/record-batch.ts'
import type { RecordHeaders } from './headers.ts'
import type { PlacedRecords } from './partition-batches.ts'

export class Gathering {
  readonly #envelope: Envelope
  readonly #common: KafkaRecord['common']

  constructor(resource: Resource, headers: RecordHeaders) {
    this.#envelope = createEnvelope('otlp', resource)
    this.#common = headers.ofMany
  }

  /** Joins events in encoding `otlp` into one record per key. The same events give the same records. */
  of(events: PlacedRecords): KafkaRecord[] {
    const byKey = new Map<Buffer | null, Group>()
    for (let i = 0; i < events.length; i++) {
      const key = events.keyAt(i)
      let group = byKey.get(key)
      if (group === undefined) byKey.set(key, (group = { first: i, count: 0, length: 0, runs: [] }))
      addTo(group, events, i)
    }
    return [...byKey].map(([key, { first, count, length, runs }]) => {
      const value = Buffer.concat([this.#envelope.head(length), ...runs.map(bytesOf), this.#envelope.tail])
      const { own, timestampMs = 0 } = events.at(first) ?? {}
      return {
        key,
        value,
        common: this.#common,
        own: { seq: own?.['seq'] ?? '', events: String(count) },
        timestampMs,
      }
    })
  }
}

/** Adjacent events of a part. */
interface Run {
  readonly part: Encoded
  readonly from: number
  to: number
}

/** The events of a key. */
interface Group {
  /** Index of the first one. */
  readonly first: number
  count: number
  length: number
  readonly runs: Run[]
}

/** Joins adjacent events: each piece has a cost. */
function addTo(group: Group, { parts, indices }: PlacedRecords, i: number): void {
  const part = parts[i]
  const index = indices[i] ?? 0
  if (part === undefined) return
  group.count++
  group.length += endOf(part, index + 1) - endOf(part, index)
  const last = group.runs.at(-1)
  if (last?.part === part && last.to === index) last.to++
  else group.runs.push({ part, from: index, to: index + 1 })
}

function bytesOf({ part, from, to }: Run): Uint8Array {
  return part.bytes.subarray(endOf(part, from), endOf(part, to))
}
