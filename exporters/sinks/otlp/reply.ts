/**
 * Reads a sink's response, ExportLogsServiceResponse or google.rpc.Status, each in protobuf or JSON. Never throws; unreadable
 * parts are empty.
 */
import { fieldsOf, one, textOf } from '../../encoding/otlp/fields.ts'
import type { Field } from '../../encoding/otlp/fields.ts'
import { MAX_REPLY_BYTES } from './transport.ts'
import type { Reply } from './transport.ts'

export interface PartialSuccess {
  readonly rejected: number
  readonly message: string
}

const NONE: PartialSuccess = { rejected: 0, message: '' }
/** For truncated JSON. */
const PARTIAL = /^\s*\{\s*"partialSuccess"\s*:\s*\{/
const REJECTED = /"rejectedLogRecords"\s*:\s*"?(\d+)/

/**
 * `partialSuccess` of an ExportLogsServiceResponse; undefined for another body, such as a login page. An empty body and
 * `{}` are valid; a body in which every field is unknown belongs to something else: many short texts are protobuf with unknown fields. The number
 * is also read from a truncated response, because it precedes the long message.
 */
export function partialSuccessOf({ body }: Reply): PartialSuccess | undefined {
  if (body.length === 0) return NONE
  const isCut = body.length >= MAX_REPLY_BYTES
  const json = jsonOf(body)
  if (json !== undefined) return partialInJson(json)
  const cutJson = isCut ? utf8(body) : ''
  if (PARTIAL.test(cutJson)) return { rejected: count(REJECTED.exec(cutJson)?.[1]), message: '' }
  const partial = one(fields(body, isCut), 1)?.bytes
  if (partial === undefined) return undefined
  const inner = fields(partial, isCut)
  if (inner.length === 0 && partial.length > 0) return undefined
  return { rejected: count(Number(one(inner, 1)?.value ?? 0n)), message: textOf(one(inner, 2)) }
}

/** Parsers of ProtoJSON accept both forms of a name. */
function partialInJson(json: object): PartialSuccess | undefined {
  const partial = member(json, 'partialSuccess') ?? member(json, 'partial_success') ?? {}
  const isKnown = Object.keys(json).length === 0 || 'partialSuccess' in json || 'partial_success' in json
  if (!isKnown || typeof partial !== 'object') return undefined
  return {
    rejected: count(member(partial, 'rejectedLogRecords') ?? member(partial, 'rejected_log_records')),
    message: text(member(partial, 'errorMessage') ?? member(partial, 'error_message')),
  }
}

/**
 * `message` of a google.rpc.Status. Loki sends protobuf regardless of the requested and the returned content type
 * (docs/reference/exporters/loki.md), so the format is detected. A body in neither format is returned as text.
 */
export function statusTextOf({ body }: Reply): string {
  const json = jsonOf(body)
  const message = json === undefined ? textOf(one(fields(body, false), 2)) : text(member(json, 'message'))
  return message === '' ? printable(body) : message
}

function printable(body: Uint8Array): string {
  return utf8(body)
    .replace(/[\p{Cc}\ufffd]+/gu, ' ')
    .trim()
}

function jsonOf(body: Uint8Array): object | undefined {
  // White space or a byte order mark.
  const object = utf8(body).trim()
  if (!object.startsWith('{')) return undefined
  try {
    return Object(JSON.parse(object))
  } catch {
    return undefined
  }
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.entries(value).find(([key]) => key === name)?.[1]
}

function count(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number > 0 ? number : 0
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
}

/** Empty if the message is not protobuf. */
function fields(message: Uint8Array, isCut: boolean): Field[] {
  try {
    return fieldsOf(message, isCut)
  } catch {
    return []
  }
}
