/**
 * The sizes that Loki's limits apply to: bytes of the line, and number and bytes of structured metadata, whose names and values
 * Loki converts to texts. The event name counts once, as the attribute: releases of Loki 3 drop the field, and its main branch keeps the
 * field instead of the attribute. Source: pkg/loghttp/push/otlp.go of Loki 3, opentelemetry-proto (logs.proto, common.proto).
 */
import type { Encoded } from '../../../contract/exporter.ts'
import { endOf } from '../../../contract/encoded.ts'
import { plainValue } from '../../../encoding/otlp/read-record.ts'
import type { JsonRecord } from '../../../encoding/otlp/read-record.ts'

export interface Measured {
  /** Milliseconds since 1970. */
  timeMs: number
  lineBytes: number
  /** Without the copies from resource and scope. */
  metadataBytes: number
  metadataEntries: number
}

const NS_PER_MS = 1e6
const TWO_32 = 0x1_0000_0000

/** Names that Loki gives to the fields of a record. */
const OBSERVED_BYTES = 'observed_timestamp'.length + '1795528989000000000'.length
const SEVERITY_NUMBER = 'severity_number'.length
const SEVERITY_TEXT = 'severity_text'.length

/** Measures the records of a part. `at` overwrites its previous result. */
export class Measure {
  readonly #found: Measured = { timeMs: 0, lineBytes: 0, metadataBytes: 0, metadataEntries: 0 }
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0

  /** Throws SyntaxError for a record that is not JSON; accepts any bytes as protobuf. */
  at(part: Encoded, index: number): Readonly<Measured> {
    const [start, end] = [endOf(part, index), endOf(part, index + 1)]
    if (part.encoding !== 'otlp') return ofJson(part.bytes.subarray(start, end - 1))
    this.#bytes = part.bytes
    this.#at = start + 1
    this.#varint()
    const found = this.#found
    found.timeMs = timeMs(part.bytes, start)
    found.lineBytes = 0
    found.metadataBytes = 0
    found.metadataEntries = 0
    while (this.#at < end) this.#field(found)
    return found
  }

  /** One field of a LogRecord. */
  #field(found: Measured): void {
    const tag = this.#varint()
    const number = tag >>> 3
    switch (tag & 7) {
      case 0: {
        const value = this.#varint()
        if (number === 2 && value > 0) this.#own(found, SEVERITY_NUMBER + digits(value))
        return
      }
      case 1:
        this.#at += 8
        if (number === 11) this.#own(found, OBSERVED_BYTES)
        return
      case 2: {
        const length = this.#varint()
        const end = this.#at + length
        if (number === 3 && length > 0) this.#own(found, SEVERITY_TEXT + length)
        else if (number === 5) found.lineBytes = this.#value(end)
        else if (number === 6) this.#own(found, this.#pair(end))
        this.#at = end
        return
      }
      case 5:
        this.#at += 4
        return
      default:
        // Not protobuf: skip to the end.
        this.#at = Infinity
    }
  }

  #own(found: Measured, bytes: number): void {
    found.metadataEntries++
    found.metadataBytes += bytes
  }

  /** Bytes of a KeyValue's name and value. */
  #pair(end: number): number {
    let bytes = 0
    while (this.#at < end) {
      const number = this.#varint() >>> 3
      const length = this.#varint()
      const next = this.#at + length
      bytes += number === 2 ? this.#value(next) : length
      this.#at = next
    }
    return bytes
  }

  /** Bytes of an AnyValue as text. */
  #value(end: number): number {
    if (this.#at >= end) return 0
    const tag = this.#varint()
    switch (tag >>> 3) {
      case 1:
        return this.#varint()
      case 2:
        return this.#varint() === 0 ? 'false'.length : 'true'.length
      case 3:
        return this.#integer()
      case 5:
        this.#varint()
        return this.#list(end)
      default:
        return end - this.#at
    }
  }

  /** Length of an integer as text. A negative one has ten bytes: all bits but those of its complement, which is small and exact. */
  #integer(): number {
    const start = this.#at
    const value = this.#varint()
    if (this.#at - start < 10) return digits(value)
    let complement = 0
    for (let i = 8; i >= 0; i--) complement = complement * 0x80 + (~(this.#bytes[start + i] ?? 0) & 0x7f)
    return 1 + digits(complement + 1)
  }

  /** Bytes of a list of strings as JSON. */
  #list(end: number): number {
    let bytes = 2
    let commas = -1
    while (this.#at < end) {
      this.#varint()
      const next = this.#varint() + this.#at
      if (this.#at < next) this.#varint()
      bytes += 2 + this.#quoted(this.#at < next ? this.#varint() : 0)
      commas++
      this.#at = next
    }
    return bytes + Math.max(0, commas)
  }

  /** Bytes of the next `length` ones in JSON of Go, which escapes <, > and & too. */
  #quoted(length: number): number {
    let bytes = length
    for (let i = this.#at; i < this.#at + length; i++) bytes += escapes(this.#bytes[i] ?? 0)
    return bytes
  }

  #varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#bytes[this.#at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
}

/** The time of the protobuf record at `start`: its first field. */
export function timeMs(bytes: Uint8Array, start: number): number {
  let at = start + 1
  while ((bytes[at] ?? 0) > 0x7f) at++
  at += 2
  return (uint32(bytes, at + 4) * TWO_32 + uint32(bytes, at)) / NS_PER_MS
}

function uint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) +
    (bytes[at + 1] ?? 0) * 0x100 +
    (bytes[at + 2] ?? 0) * 0x1_0000 +
    (bytes[at + 3] ?? 0) * 0x100_0000
  )
}

function digits(value: number): number {
  return String(value).length
}

/** Bytes more than the character itself. */
function escapes(byte: number): number {
  if (byte === 0x22 || byte === 0x5c || byte === 0x0a || byte === 0x0d || byte === 0x09) return 1
  return byte < 0x20 || byte === 0x3c || byte === 0x3e || byte === 0x26 ? 5 : 0
}

function ofJson(text: Uint8Array): Measured {
  const record: JsonRecord = JSON.parse(Buffer.from(text).toString())
  const { severityNumber, severityText, attributes } = record
  let metadataEntries = attributes.length
  let metadataBytes = 0
  const own = (bytes: number): void => {
    metadataEntries++
    metadataBytes += bytes
  }
  if (record.observedTimeUnixNano !== undefined) own(OBSERVED_BYTES)
  if (severityNumber > 0) own(SEVERITY_NUMBER + String(severityNumber).length)
  if (severityText) own(SEVERITY_TEXT + Buffer.byteLength(severityText))
  for (const { key, value } of attributes) {
    const plain = plainValue(value)
    metadataBytes +=
      Buffer.byteLength(key) + (Array.isArray(plain) ? listBytes(plain) : Buffer.byteLength(String(plain)))
  }
  return {
    timeMs: Number(record.timeUnixNano) / NS_PER_MS,
    lineBytes: Buffer.byteLength(record.body?.stringValue ?? ''),
    metadataBytes,
    metadataEntries,
  }
}

function listBytes(list: readonly string[]): number {
  let bytes = 2 + Math.max(0, list.length - 1)
  for (const text of list) {
    const raw = Buffer.from(text)
    bytes += 2 + raw.length
    for (const byte of raw) bytes += escapes(byte)
  }
  return bytes
}
