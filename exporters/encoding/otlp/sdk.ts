/**
 * `encoder: sdk`: the same records, serialised by @opentelemetry/otlp-transformer. Much slower; for users who prefer the reference implementation,
 * and for tests that compare our encoders with it.
 */
import { JsonLogsSerializer, ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs'
import type { Event } from '../../contract/event.ts'
import type { Encoded, Encoder } from '../../contract/exporter.ts'
import type { OtlpEncoderOptions } from './encode.ts'
import { fieldsOf, one } from './fields.ts'
import { joined, plainRecords } from './json-encode.ts'

const NO_RESOURCE = resourceFromAttributes({})
const NO_SCOPE = { name: '' }
/** The JSON before and after the records of a request. */
const HEAD = '"logRecords":['
const TAIL = ']}]}]}'

/** Encoding `otlp`; its bytes equal those of createOtlpEncoder. */
export function createSdkEncoder(options: OtlpEncoderOptions): Encoder {
  return {
    encoding: 'otlp',
    encode(events): Encoded {
      const request = ProtobufLogsSerializer.serializeRequest(readables(events, options)) ?? new Uint8Array(0)
      return { encoding: 'otlp', ...recordsOf(request), count: events.length, firstSeq: events[0]?.seq ?? 0 }
    },
  }
}

/** Encoding `otlp_json`; its bytes equal those of createOtlpJsonEncoder. */
export function createSdkJsonEncoder(options: OtlpEncoderOptions): Encoder {
  return {
    encoding: 'otlp_json',
    encode: (events) =>
      joined(
        events,
        readables(events, options).map((record) => {
          const request = Buffer.from(JsonLogsSerializer.serializeRequest([record]) ?? []).toString()
          return request.slice(request.indexOf(HEAD) + HEAD.length, -TAIL.length)
        }),
      ),
  }
}

/** The records of the events for the SDK's serializers. */
export function readables(events: readonly Event[], options: OtlpEncoderOptions): ReadableLogRecord[] {
  return plainRecords(events, options).map(({ time, observed, severity, body, eventName, attributes }) => ({
    hrTime: [time.sec, time.nsec],
    hrTimeObserved: [observed.sec, observed.nsec],
    severityNumber: severity.number,
    severityText: severity.text,
    ...(body === undefined ? {} : { body }),
    eventName,
    attributes: { ...attributes },
    droppedAttributesCount: 0,
    resource: NO_RESOURCE,
    instrumentationScope: NO_SCOPE,
  }))
}

/** The records, with their tags, of a request with one resource and one scope. */
function recordsOf(request: Uint8Array): { readonly bytes: Uint8Array; readonly ends: Uint32Array } {
  const resourceLogs = fieldsOf(one(fieldsOf(request), 1)?.bytes)
  // The scope, then the records: its end is their start.
  const ends = fieldsOf(one(resourceLogs, 2)?.bytes).map(({ bytes = request }) => bytes.byteOffset + bytes.length)
  const [start = request.byteOffset, ...records] = ends
  return { bytes: request.subarray(start - request.byteOffset), ends: Uint32Array.from(records, (end) => end - start) }
}
