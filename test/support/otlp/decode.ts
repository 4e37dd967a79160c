/**
 * Reads OTLP requests into the shape of their JSON mapping: written from the field tables of opentelemetry-proto, without our
 * encoder and without the SDK, so that it can check both. Strict: unknown fields and wrong types are errors.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

export type AnyValue =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly boolValue: boolean }
  | { readonly arrayValue: { readonly values: readonly AnyValue[] } }
  | Record<string, never>

export interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}

export interface LogRecord {
  readonly timeUnixNano: string
  readonly observedTimeUnixNano: string
  readonly severityNumber: number
  readonly severityText: string
  readonly body: AnyValue | undefined
  readonly eventName: string
  readonly attributes: readonly KeyValue[]
}

export interface LogsRequest {
  /** Schema URLs of the resource and of the scope. */
  readonly schemaUrls: readonly string[]
  readonly resource: readonly KeyValue[]
  readonly scope: { readonly name: string; readonly version: string }
  readonly records: readonly LogRecord[]
}

type Field = { readonly number: number; readonly wire: number; readonly value: bigint; readonly bytes: Buffer }

/** Every field of a message; throws if it is truncated. */
export function fieldsOf(message: Buffer): Field[] {
  const found: Field[] = []
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      if (at >= message.length) throw new Error('a varint is cut off')
      const byte = message.readUInt8(at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
  }
  const none = Buffer.alloc(0)
  while (at < message.length) {
    const tag = Number(varint())
    const number = tag >>> 3
    const wire = tag & 7
    if (wire === 0) found.push({ number, wire, value: varint(), bytes: none })
    else if (wire === 1) {
      found.push({ number, wire, value: message.readBigUInt64LE(at), bytes: none })
      at += 8
    } else if (wire === 2) {
      const length = Number(varint())
      if (at + length > message.length) throw new Error(`field ${number} is cut off`)
      found.push({ number, wire, value: 0n, bytes: message.subarray(at, at + length) })
      at += length
    } else throw new Error(`field ${number} has wire type ${wire}`)
  }
  return found
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function one(fields: readonly Field[], number: number, wire: number): Field | undefined {
  const all = fields.filter((field) => field.number === number)
  if (all.length > 1) throw new Error(`field ${number} stands ${all.length} times`)
  if (all[0] !== undefined && all[0].wire !== wire) throw new Error(`field ${number} has wire type ${all[0].wire}`)
  return all[0]
}

const textOf = (fields: readonly Field[], number: number): string => utf8.decode(one(fields, number, 2)?.bytes)

function known(fields: readonly Field[], ...numbers: readonly number[]): readonly Field[] {
  for (const { number } of fields) if (!numbers.includes(number)) throw new Error(`unexpected field ${number}`)
  return fields
}

function anyValue(message: Buffer): AnyValue {
  const [field, more] = fieldsOf(message)
  if (more !== undefined) throw new Error('an AnyValue with two values')
  if (field === undefined) return {}
  if (field.number === 1) return { stringValue: utf8.decode(field.bytes) }
  if (field.number === 2) return { boolValue: field.value !== 0n }
  if (field.number === 3) return { intValue: BigInt.asIntN(64, field.value).toString() }
  if (field.number !== 5) throw new Error(`unexpected kind of value ${field.number}`)
  return { arrayValue: { values: known(fieldsOf(field.bytes), 1).map(({ bytes }) => anyValue(bytes)) } }
}

function keyValue(message: Buffer): KeyValue {
  const fields = known(fieldsOf(message), 1, 2)
  return { key: textOf(fields, 1), value: anyValue(one(fields, 2, 2)?.bytes ?? Buffer.alloc(0)) }
}

function keyValues(fields: readonly Field[], number: number): KeyValue[] {
  const pairs = fields.filter((field) => field.number === number).map(({ bytes }) => keyValue(bytes))
  if (new Set(pairs.map(({ key }) => key)).size !== pairs.length) throw new Error('an attribute stands twice')
  return pairs
}

/** One LogRecord. */
export function recordFrom(message: Buffer): LogRecord {
  // The collector writes absent trace and span ids too, as fields of no bytes.
  const set = fieldsOf(message).filter(({ number, bytes }) => !((number === 9 || number === 10) && bytes.length === 0))
  const fields = known(set, 1, 2, 3, 5, 6, 7, 11, 12)
  const body = one(fields, 5, 2)
  return {
    timeUnixNano: String(one(fields, 1, 1)?.value ?? 0n),
    observedTimeUnixNano: String(one(fields, 11, 1)?.value ?? 0n),
    severityNumber: Number(one(fields, 2, 0)?.value ?? 0n),
    severityText: textOf(fields, 3),
    body: body === undefined ? undefined : anyValue(body.bytes),
    eventName: textOf(fields, 12),
    attributes: keyValues(fields, 6),
  }
}

/** The raw bytes of ScopeLogs between its scope and its schema URL: the records that the exporter received. */
export function rawRecords(request: Buffer): Buffer {
  const resourceLogs = fieldsOf(one(fieldsOf(request), 1, 2)?.bytes ?? Buffer.alloc(0))
  const scopeLogs = one(resourceLogs, 2, 2)?.bytes ?? Buffer.alloc(0)
  const scopeLength = scopeLogs.readUInt8(1)
  if (scopeLength > 0x7f) throw new Error('expected a scope below 128 bytes')
  // The records may be any bytes; both have the same schema URL.
  const schemaLength = one(resourceLogs, 3, 2)?.bytes.length ?? -2
  return scopeLogs.subarray(2 + scopeLength, scopeLogs.length - 2 - schemaLength)
}

/** A whole ExportLogsServiceRequest in protobuf: one resource, one scope. */
export function requestFromProtobuf(body: Buffer): LogsRequest {
  const resourceLogs = one(fieldsOf(body), 1, 2)
  if (resourceLogs === undefined) return { resource: [], scope: { name: '', version: '' }, schemaUrls: [], records: [] }
  const logs = known(fieldsOf(resourceLogs.bytes), 1, 2, 3)
  const resource = known(fieldsOf(one(logs, 1, 2)?.bytes ?? Buffer.alloc(0)), 1, 2)
  const scopeLogs = known(fieldsOf(one(logs, 2, 2)?.bytes ?? Buffer.alloc(0)), 1, 2, 3)
  const scope = known(fieldsOf(one(scopeLogs, 1, 2)?.bytes ?? Buffer.alloc(0)), 1, 2)
  return {
    resource: keyValues(resource, 1),
    scope: { name: textOf(scope, 1), version: textOf(scope, 2) },
    schemaUrls: [textOf(logs, 3), textOf(scopeLogs, 3)],
    records: scopeLogs.filter(({ number }) => number === 2).map(({ bytes }) => recordFrom(bytes)),
  }
}

/* oxlint-disable typescript/no-unsafe-type-assertion -- the one parser of this edge: a wrong value throws below */
/** A JSON request; integers are strings. */
export function requestFromJson(body: Buffer): LogsRequest {
  const root = JSON.parse(utf8.decode(body)) as {
    resourceLogs: Array<{
      resource: { attributes: KeyValue[] }
      scopeLogs: Array<{ scope: { name: string; version?: string }; logRecords: LogRecord[]; schemaUrl?: string }>
      schemaUrl?: string
    }>
  }
  const [resourceLogs, more] = root.resourceLogs
  const [scopeLogs, others] = resourceLogs?.scopeLogs ?? []
  if (resourceLogs === undefined || scopeLogs === undefined || more !== undefined || others !== undefined) {
    throw new Error('expected one resource and one scope')
  }
  return {
    resource: resourceLogs.resource.attributes.map(normal),
    scope: { name: scopeLogs.scope.name, version: scopeLogs.scope.version ?? '' },
    schemaUrls: [resourceLogs.schemaUrl ?? '', scopeLogs.schemaUrl ?? ''],
    records: scopeLogs.logRecords.map((record) => ({
      timeUnixNano: record.timeUnixNano,
      observedTimeUnixNano: record.observedTimeUnixNano,
      severityNumber: record.severityNumber,
      severityText: record.severityText,
      body: record.body,
      eventName: record.eventName,
      attributes: record.attributes.map(normal),
    })),
  }
}

function normal({ key, value }: KeyValue): KeyValue {
  return { key, value: 'intValue' in value ? { intValue: String(value.intValue) } : value }
}

/** Decodes by the headers of the request. */
export function requestFrom(body: Buffer, contentType: string, encoding: string): LogsRequest {
  const plain = inflate(body, encoding)
  if (contentType === 'application/x-protobuf') return requestFromProtobuf(plain)
  if (contentType === 'application/json') return requestFromJson(plain)
  throw new Error(`unexpected content type "${contentType}"`)
}

export function inflate(body: Buffer, encoding: string): Buffer {
  if (encoding === '') return body
  if (encoding === 'gzip') return gunzipSync(body)
  if (encoding === 'zstd') return zstdDecompressSync(body)
  throw new Error(`unexpected content encoding "${encoding}"`)
}

function uidOf(record: LogRecord): string {
  const value = record.attributes.find(({ key }) => key === 'log.record.uid')?.value
  return value !== undefined && 'stringValue' in value ? String(value.stringValue) : ''
}

/** The run of the agent in `log.record.uid`. */
export function epochOf(record: LogRecord): string {
  return uidOf(record).replace(/-\d+$/, '')
}

/** The sequence number in `log.record.uid`. */
export function seqOf(record: LogRecord): number {
  const text = uidOf(record)
  const seq = Number(text.slice(text.lastIndexOf('-') + 1))
  if (text === '' || !Number.isSafeInteger(seq)) throw new Error(`not a uid: "${text}"`)
  return seq
}

/** The body of a record, which must be a string. */
export function bodyOf({ body }: LogRecord): string {
  if (body === undefined || !('stringValue' in body)) throw new Error('a record without a text as its body')
  return String(body.stringValue)
}
