/**
 * Reads encoded LogRecords: those of a spool for display, and the identifiers of those of a request. Based on opentelemetry-proto
 * (logs.proto, common.proto); ignores fields that our encoder never writes.
 */
import { fieldsOf, one, textOf } from './fields.ts'
import type { Field } from './fields.ts'
import type { AttributeValue } from './records.ts'

/** A parsed record of encoding `otlp_json`. */
export interface JsonRecord {
  readonly timeUnixNano: string
  readonly observedTimeUnixNano: string
  readonly severityNumber: number
  readonly severityText: string
  /** Spools of earlier versions omit an empty body. */
  readonly body?: { readonly stringValue?: string }
  readonly eventName: string
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: JsonValue }>
}

interface JsonValue {
  readonly stringValue?: string
  /** A text if it was read from protobuf. */
  readonly intValue?: number | string
  readonly boolValue?: boolean
  readonly arrayValue?: { readonly values: readonly JsonValue[] }
}

/** The attribute value before encoding. */
export function plainValue({ stringValue, intValue, boolValue, arrayValue }: JsonValue): AttributeValue {
  return stringValue ?? intValue ?? boolValue ?? (arrayValue?.values ?? []).map((value) => value.stringValue ?? '')
}

/**
 * One event as one line without a line feed: the record's body if that is a JSON object, else the whole record in OTLP's JSON
 * mapping. `record` is a field of ScopeLogs (`otlp`) or an object and a comma (`otlp_json`). Throws RangeError or SyntaxError
 * for other bytes.
 */
export function recordLine(record: Uint8Array, encoding: 'otlp' | 'otlp_json'): string {
  const plain = encoding === 'otlp' ? recordOf(record) : objectOf(Buffer.from(record).toString().replace(/,$/, ''))
  const body = plain['body']
  const text = typeof body === 'object' && body !== null && 'stringValue' in body ? body.stringValue : undefined
  return typeof text === 'string' && isObject(text) ? text : JSON.stringify(plain)
}

/** The identifiers of a record of a request; the rest is not read. */
export interface RequestRecord {
  /** `service.instance.id` of its resource. */
  readonly node: string
  readonly timeMs: number
  readonly attributes: ReadonlyMap<string, string>
}

/** The records of an ExportLogsServiceRequest in protobuf. Throws RangeError for other bytes. */
export function* requestRecords(request: Buffer): Generator<RequestRecord> {
  for (const { bytes: group } of fieldsOf(request).filter(({ number }) => number === 1)) {
    const resourceLogs = fieldsOf(group)
    const node = textsOf(fieldsOf(one(resourceLogs, 1)?.bytes), 1).get('service.instance.id') ?? ''
    for (const { bytes: scope } of resourceLogs.filter(({ number }) => number === 2)) {
      for (const { bytes } of fieldsOf(scope).filter(({ number }) => number === 2)) {
        const record = fieldsOf(bytes)
        const timeMs = Number((one(record, 1)?.value ?? 0n) / 1_000_000n)
        yield { node, timeMs, attributes: textsOf(record, 6) }
      }
    }
  }
}

/** Attributes with a text, a list of texts or an integer, in fields of this number. */
function textsOf(fields: readonly Field[], number: number): Map<string, string> {
  const texts = new Map<string, string>()
  for (const { bytes } of fields.filter((field) => field.number === number)) {
    const pair = fieldsOf(bytes)
    const { stringValue, intValue, arrayValue } = valueOf(one(pair, 2)?.bytes)
    const words = arrayValue?.values.flatMap((each) => each.stringValue ?? [])
    const text = stringValue ?? intValue ?? words?.join(', ')
    if (text !== undefined) texts.set(textOf(one(pair, 1)), String(text))
  }
  return texts
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(text)
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function isObject(text: string): boolean {
  if (!text.startsWith('{') || text.includes('\n')) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Key order as in `json-encode.ts`. */
function recordOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const record = fieldsOf(one(fieldsOf(bytes), 2)?.bytes)
  const body = one(record, 5)
  return {
    timeUnixNano: String(one(record, 1)?.value ?? 0n),
    observedTimeUnixNano: String(one(record, 11)?.value ?? 0n),
    severityNumber: Number(one(record, 2)?.value ?? 0n),
    severityText: textOf(one(record, 3)),
    ...(body === undefined ? {} : { body: valueOf(body.bytes) }),
    eventName: textOf(one(record, 12)),
    attributes: record.filter(({ number }) => number === 6).map(({ bytes: pair }) => pairOf(pair)),
    droppedAttributesCount: Number(one(record, 7)?.value ?? 0n),
  }
}

function pairOf(bytes: Buffer | undefined): object {
  const pair = fieldsOf(bytes)
  return { key: textOf(one(pair, 1)), value: valueOf(one(pair, 2)?.bytes) }
}

function valueOf(bytes: Buffer | undefined): JsonValue {
  const [field] = fieldsOf(bytes)
  switch (field?.number) {
    case 1:
      return { stringValue: textOf(field) }
    case 2:
      return { boolValue: field.value !== 0n }
    case 3:
      return { intValue: BigInt.asIntN(64, field.value).toString() }
    case 5:
      return { arrayValue: { values: fieldsOf(field.bytes).map(({ bytes: value }) => valueOf(value)) } }
    default:
      return {}
  }
}
