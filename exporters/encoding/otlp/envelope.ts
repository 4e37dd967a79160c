/**
 * The request around the records, ExportLogsServiceRequest{ResourceLogs{resource, ScopeLogs{scope, records…}}}, in protobuf and
 * JSON. One resource, the agent on its host, for all records.
 */
import type { Encoding } from '../../contract/exporter.ts'
import { key } from './attributes.ts'
import { SCHEMA_URL, resourceAttributes, scopeOf } from './resource.ts'
import type { Resource } from './resource.ts'
import { ProtoWriter, varintSize } from './protobuf.ts'

/** The bytes around the records of one request. */
export interface Envelope {
  /** The bytes before records of `length` bytes in total. */
  head(length: number): Uint8Array
  readonly tail: Uint8Array
  /** Bytes of the separator after the last record, which is not sent. */
  readonly separator: number
  readonly contentType: 'application/x-protobuf' | 'application/json'
}

export function createEnvelope(encoding: Extract<Encoding, 'otlp' | 'otlp_json'>, of: Resource): Envelope {
  return encoding === 'otlp' ? protobufEnvelope(of) : jsonEnvelope(of)
}

function protobufEnvelope(of: Resource): Envelope {
  // Attributes are field 1 of a resource.
  const out = new ProtoWriter(1, 4 << 10)
  const resource = resourceField(of, out)
  const scope = scopeField(of, out)
  // Field 3 of ScopeLogs and of ResourceLogs.
  out.byte(0x1a)
  out.string(SCHEMA_URL)
  const schema = out.take()
  return {
    head: (length) => {
      const scopeLogs = scope.length + length + schema.length
      const resourceLogs = resource.length + 1 + varintSize(scopeLogs) + scopeLogs + schema.length
      out.byte(0x0a)
      out.varint(resourceLogs)
      out.raw(resource)
      out.byte(0x12)
      out.varint(scopeLogs)
      out.raw(scope)
      return out.take()
    },
    tail: Buffer.concat([schema, schema]),
    separator: 0,
    contentType: 'application/x-protobuf',
  }
}

function resourceField(of: Resource, out: ProtoWriter): Uint8Array {
  out.byte(0x0a)
  const start = out.open(1)
  for (const [name, value] of Object.entries(resourceAttributes(of))) out.text(key(name), value)
  out.byte(0x10)
  out.byte(0)
  out.close(start, 1)
  return out.take()
}

function scopeField(of: Resource, out: ProtoWriter): Uint8Array {
  const { name, version } = scopeOf(of)
  out.byte(0x0a)
  const start = out.open(1)
  out.byte(0x0a)
  out.string(name)
  if (version !== '') {
    out.byte(0x12)
    out.string(version)
  }
  out.close(start, 1)
  return out.take()
}

/** Each record of `otlp_json` ends in a comma; the last comma is not sent. */
function jsonEnvelope(of: Resource): Envelope {
  const attributes = Object.entries(resourceAttributes(of)).map(([name, value]) => ({
    key: name,
    value: { stringValue: value },
  }))
  const resource = JSON.stringify({ attributes, droppedAttributesCount: 0 })
  const { name, version } = scopeOf(of)
  const scope = JSON.stringify(version === '' ? { name } : { name, version })
  const head = Buffer.from(`{"resourceLogs":[{"resource":${resource},"scopeLogs":[{"scope":${scope},"logRecords":[`)
  const schema = `"schemaUrl":${JSON.stringify(SCHEMA_URL)}`
  return {
    head: () => head,
    tail: Buffer.from(`],${schema}}],${schema}}]}`),
    separator: 1,
    contentType: 'application/json',
  }
}
