/**
 * `encoder: sdk`: the same records, serialised by @opentelemetry/otlp-transformer. Much slower; for users who prefer the reference implementation,
 * and for tests that compare our encoders with it.
 */
import { JsonLogsSerializer, ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer'
import type { Resource } from '@opentelemetry/resources'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs'
import type { Event } from '../../contract/event.ts'
import type { Encoded, Encoder } from '../../contract/exporter.ts'
import { now } from './encode.ts'
import type { OtlpEncoderOptions } from './encode.ts'
import { joined } from './json-encode.ts'
import { plainRecord, withoutLong } from './records.ts'
import type { PlainRecord } from './records.ts'

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
    encode(events): Encoded {
      const records = readables(events, options)
      return joined(events, (_, i) => {
        const request = Buffer.from(JsonLogsSerializer.serializeRequest(records.slice(i, i + 1)) ?? []).toString()
        return request.slice(request.indexOf(HEAD) + HEAD.length, -TAIL.length)
      })
    },
  }
}

function readables(events: readonly Event[], options: OtlpEncoderOptions): ReadableLogRecord[] {
  const observed = (options.observed ?? now)()
  const json = options.body === 'json' ? options.json.encode(withoutLong(events)) : undefined
  return events.map((event, i) => {
    const line = json?.bytes.subarray(i === 0 ? 0 : json.ends[i - 1], json.ends[i])
    return readable(plainRecord(event, line, observed, options, i), NO_RESOURCE, NO_SCOPE)
  })
}

/** A record for the SDK's serializers and exporters. */
export function readable(
  record: PlainRecord,
  resource: Resource,
  instrumentationScope: ReadableLogRecord['instrumentationScope'],
): ReadableLogRecord {
  const { time, observed, severity, body, eventName } = record
  return {
    hrTime: [time.sec, time.nsec],
    hrTimeObserved: [observed.sec, observed.nsec],
    severityNumber: severity.number,
    severityText: severity.text,
    ...(body === undefined ? {} : { body }),
    eventName,
    attributes: { ...record.attributes },
    droppedAttributesCount: 0,
    resource,
    instrumentationScope,
  }
}

/** The records, with their tags, of a request with one resource and one scope. */
function recordsOf(request: Uint8Array): { readonly bytes: Uint8Array; readonly ends: Uint32Array } {
  const ends: number[] = []
  let at = 0
  const length = (): number => {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = request[at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 0x80
    }
  }
  const skip = (): void => {
    at++
    const size = length()
    at += size
  }
  const enter = (): void => {
    at++
    length()
  }
  if (request.length === 0) return { bytes: request, ends: new Uint32Array(0) }
  // Into ResourceLogs, past its resource, into ScopeLogs, past its scope.
  enter()
  skip()
  enter()
  skip()
  const start = at
  while (at < request.length) {
    skip()
    ends.push(at - start)
  }
  return { bytes: request.subarray(start), ends: Uint32Array.from(ends) }
}
