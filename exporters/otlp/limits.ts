/**
 * Loki's limits on one entry, checked before sending: a request with a bad entry is answered 400 although the others are
 * stored, and rarely says which one it was (export.md §3.3, §3.4).
 */
import type { Encoded } from '../exporter.ts'
import { endOf } from '../sending/encoded.ts'
import { plainValue } from '../encoding/otlp/json-record.ts'
import type { JsonRecord } from '../encoding/otlp/json-record.ts'
import { fields } from './reply.ts'

export interface LokiLimits {
  readonly maxLineBytes: number
  /** Names and values of one entry's structured metadata. */
  readonly maxMetadataBytes: number
  readonly maxMetadataEntries: number
  readonly maxAgeMs: number
  /** How far ahead of the clock. */
  readonly maxAheadMs: number
}

/** Loki's own defaults. */
export const LOKI_LIMITS: LokiLimits = {
  maxLineBytes: 256 << 10,
  maxMetadataBytes: 64 << 10,
  maxMetadataEntries: 128,
  maxAgeMs: 7 * 86_400_000,
  maxAheadMs: 600_000,
}

/** What Loki adds to the metadata of each entry beside attributes and resource: times, severity, event and scope. */
const ADDED_ENTRIES = 6
const ADDED_BYTES = 250
const NS_PER_MS = 1e6
const TWO_32 = 0x1_0000_0000

interface Measured {
  readonly timeMs: number
  readonly lineBytes: number
  readonly metadataBytes: number
  readonly metadataEntries: number
}

/** Checks records against limits. `resource`: the attributes that Loki copies into every entry. */
export class LimitCheck {
  readonly #limits: LokiLimits
  readonly #copiedBytes: number
  readonly #copiedEntries: number
  /** Records up to this size cannot break a limit of size: an integer takes at most 9 bytes more as text. */
  readonly #surelyFine: number

  constructor(limits: LokiLimits, resource: Readonly<Record<string, string>>) {
    this.#limits = limits
    const pairs = Object.entries(resource)
    const bytes = pairs.reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value), 0)
    this.#copiedBytes = bytes + ADDED_BYTES
    this.#copiedEntries = pairs.length + ADDED_ENTRIES
    const smallest = Math.min(limits.maxLineBytes, limits.maxMetadataBytes)
    // The smallest attribute takes 9 bytes: 128 entries cannot hide in a record that is shorter than this.
    const entries = (limits.maxMetadataEntries - this.#copiedEntries) * 9
    this.#surelyFine = Math.min(Math.floor((smallest - this.#copiedBytes) / 2), Math.max(0, entries))
  }

  /** Why a record would be refused, by its index; undefined when none would. */
  refusals(part: Encoded, nowMs: number): Map<number, string> | undefined {
    let found: Map<number, string> | undefined
    for (let i = 0; i < part.count; i++) {
      const start = endOf(part, i)
      const end = endOf(part, i + 1)
      const reason =
        part.encoding === 'otlp' && end - start <= this.#surelyFine
          ? this.#byAge(timeMs(part.bytes, start), nowMs)
          : this.#reason(measure(part, start, end), nowMs)
      if (reason !== undefined) (found ??= new Map()).set(i, reason)
    }
    return found
  }

  /** A reason of `refusals` as a sentence. */
  explain(reason: string): string {
    const { maxLineBytes, maxMetadataBytes, maxMetadataEntries, maxAgeMs, maxAheadMs } = this.#limits
    switch (reason) {
      case 'too_large':
        return `not sent: expected a body of at most ${maxLineBytes} bytes`
      case 'metadata_too_large':
        return `not sent: expected at most ${maxMetadataEntries} attributes with ${maxMetadataBytes} bytes in all`
      case 'too_old':
        return `not sent: expected an event of the last ${maxAgeMs / 1000} s`
      default:
        return `not sent: expected an event at most ${maxAheadMs / 1000} s ahead of the clock`
    }
  }

  #reason(record: Measured, nowMs: number): string | undefined {
    const { maxLineBytes, maxMetadataBytes, maxMetadataEntries } = this.#limits
    if (record.lineBytes > maxLineBytes) return 'too_large'
    const entries = record.metadataEntries + this.#copiedEntries
    if (record.metadataBytes + this.#copiedBytes > maxMetadataBytes || entries > maxMetadataEntries) {
      return 'metadata_too_large'
    }
    return this.#byAge(record.timeMs, nowMs)
  }

  #byAge(atMs: number, nowMs: number): string | undefined {
    if (nowMs - atMs > this.#limits.maxAgeMs) return 'too_old'
    return atMs - nowMs > this.#limits.maxAheadMs ? 'too_new' : undefined
  }
}

/** The time of the protobuf record at `start`: its first field. */
function timeMs(bytes: Uint8Array, start: number): number {
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

function measure(part: Encoded, start: number, end: number): Measured {
  return part.encoding === 'otlp' ? ofProtobuf(part.bytes, start, end) : ofJson(part.bytes.subarray(start, end - 1))
}

function ofProtobuf(bytes: Uint8Array, start: number, end: number): Measured {
  const record = fields(bytes.subarray(start, end))[0]?.bytes ?? new Uint8Array(0)
  let lineBytes = 0
  let metadataBytes = 0
  let metadataEntries = 0
  for (const { number, bytes: field } of fields(record)) {
    if (field === undefined) continue
    if (number === 5) lineBytes = fields(field)[0]?.value ?? 0
    if (number !== 6) continue
    metadataEntries++
    metadataBytes += field.length
  }
  return { timeMs: timeMs(bytes, start), lineBytes, metadataBytes, metadataEntries }
}

/** Loki counts names and values as texts, a list as JSON; not how they are written in a request. */
function ofJson(text: Uint8Array): Measured {
  const record: JsonRecord = JSON.parse(Buffer.from(text).toString())
  let metadataBytes = 0
  for (const { key, value } of record.attributes) {
    const plain = plainValue(value)
    metadataBytes +=
      Buffer.byteLength(key) + Buffer.byteLength(Array.isArray(plain) ? JSON.stringify(plain) : String(plain))
  }
  return {
    timeMs: Number(record.timeUnixNano) / NS_PER_MS,
    lineBytes: Buffer.byteLength(record.body?.stringValue ?? ''),
    metadataBytes,
    metadataEntries: record.attributes.length,
  }
}
