/**
 * A protobuf writer for the hot path: one reused buffer, no object per field, lengths computed first where that is cheap.
 * Field numbers are those of opentelemetry-proto, logs.proto; the bytes equal those of @opentelemetry/otlp-transformer.
 */
import type { TextBytes, Timestamp } from '../../contract/event.ts'
import { digitsOf, putDigits, utf8Length } from '../../runtime/byte-writer.ts'
import type { AttributeSink, Key } from './attributes.ts'

/** Key and value up to which all lengths of an attribute take one byte. */
const SHORT_PAIR = 0x7f - 4
/** A buffer that grew beyond this size for a huge batch is freed. */
const KEEP_BYTES = 4 << 20
const NANOS_PER_SECOND = 1_000_000_000n
const TWO_32 = 0x1_0000_0000

/** Bytes of a varint; exact for integers from 0 to 2^35. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  return value < 0x1000_0000 ? 4 : 5
}

/** An attribute whose text ends in a number that counts up. */
export interface NumberedText {
  readonly key: Key
  readonly prefix: string
  /** The attribute before the number, in front of a number with so many digits. */
  head: Uint8Array
  digits: number
}

export function numberedText(key: Key, prefix: string): NumberedText {
  return { key, prefix, head: new Uint8Array(), digits: 0 }
}

export class ProtoWriter implements AttributeSink {
  #buffer: Buffer
  #at = 0
  /** Tag of the KeyValue fields written for attributes: field 6 in a record, 1 in a resource. */
  readonly #attributeTag: number
  #second = Number.NaN
  #secondLow = 0
  #secondHigh = 0

  constructor(attributeField: number = 6, capacity: number = 256 << 10) {
    this.#attributeTag = (attributeField << 3) | 2
    this.#buffer = Buffer.allocUnsafeSlow(capacity)
  }

  get length(): number {
    return this.#at
  }

  /** Returns a copy of the bytes and empties the writer. */
  take(): Buffer {
    const out = Buffer.allocUnsafeSlow(this.#at)
    out.set(this.#buffer.subarray(0, this.#at))
    this.#at = 0
    if (this.#buffer.length > KEEP_BYTES) this.#buffer = Buffer.allocUnsafeSlow(KEEP_BYTES)
    return out
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + more))
    grown.set(this.#buffer.subarray(0, this.#at))
    this.#buffer = grown
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#at++] = value
  }

  raw(source: Uint8Array): void {
    this.#reserve(source.length)
    this.#buffer.set(source, this.#at)
    this.#at += source.length
  }

  /** Bytes `from` up to `to` (exclusive), without allocating a view per event. */
  part(source: Buffer, from: number, to: number): void {
    this.#reserve(to - from)
    this.#at += source.copy(this.#buffer, this.#at, from, to)
  }

  /** An integer within ±2^53; a negative one takes ten bytes, as int32 and int64 do. */
  varint(value: number): void {
    this.#reserve(10)
    if (value < 0 || value > 0xffff_ffff) return this.#wideVarint(BigInt.asUintN(64, BigInt(value)))
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.#at++] = rest
  }

  #wideVarint(value: bigint): void {
    let rest = value
    for (; rest > 0x7fn; rest >>= 7n) this.#buffer[this.#at++] = Number(rest & 0x7fn) | 0x80
    this.#buffer[this.#at++] = Number(rest)
  }

  /** fixed64 of nanoseconds since 1970. Caches the part of the seconds. */
  nanos(time: Timestamp): void {
    if (time.sec !== this.#second) {
      const whole = BigInt(time.sec) * NANOS_PER_SECOND
      this.#second = time.sec
      this.#secondLow = Number(whole & 0xffff_ffffn)
      this.#secondHigh = Number((whole >> 32n) & 0xffff_ffffn)
    }
    this.#reserve(8)
    const low = this.#secondLow + time.nsec
    putUint32(this.#buffer, this.#at, low)
    putUint32(this.#buffer, this.#at + 4, low >= TWO_32 ? this.#secondHigh + 1 : this.#secondHigh)
    this.#at += 8
  }

  /** A length-delimited string: length and UTF-8 bytes, without tag. */
  string(text: string): void {
    const length = utf8Length(text)
    this.varint(length)
    this.#utf8(text, length)
  }

  /** `length` is from utf8Length; it equals `text.length` only for ASCII. */
  #utf8(text: string, length: number): void {
    this.#reserve(length)
    this.#at += this.#buffer.write(text, this.#at, length === text.length ? 'latin1' : 'utf8')
  }

  /** Begins a message of unknown length; `close` writes the length and moves the content if `width` was wrong. */
  open(width: number): number {
    this.#reserve(width)
    this.#at += width
    return this.#at
  }

  close(start: number, width: number): void {
    const length = this.#at - start
    const needed = varintSize(length)
    if (needed !== width) {
      this.#reserve(Math.max(0, needed - width))
      this.#buffer.copyWithin(start - width + needed, start, this.#at)
    }
    this.#at = start - width
    this.varint(length)
    this.#at += length
  }

  text(key: Key, value: string): void {
    if (this.#short(key, value)) return
    const length = utf8Length(value)
    const valueLength = 1 + varintSize(length) + length
    this.#head(key, valueLength)
    this.byte(0x0a)
    this.varint(length)
    this.#utf8(value, length)
  }

  numbered(text: NumberedText, number: number): void {
    const isShort = number <= 0xffff_ffff
    const digits = isShort ? digitsOf(number) : 0
    if (isShort && digits === text.digits) {
      this.raw(text.head)
      this.#reserve(digits)
      this.#at += digits
      putDigits(this.#buffer, this.#at, number, digits)
      return
    }
    const start = this.#at
    this.text(text.key, `${text.prefix}${number}`)
    text.digits = digits
    text.head = new Uint8Array(this.#buffer.subarray(start, this.#at - digits))
  }

  /** Short ASCII in one loop; false, with nothing written, for another text. */
  #short({ bytes: name }: Key, text: string): boolean {
    const { length } = text
    if (name.length + length > SHORT_PAIR) return false
    this.#reserve(SHORT_PAIR + 6)
    const buffer = this.#buffer
    let at = this.#at
    buffer[at++] = this.#attributeTag
    buffer[at++] = name.length + length + 4
    for (let i = 0; i < name.length; i++) buffer[at++] = name[i] ?? 0
    buffer[at++] = 0x12
    buffer[at++] = length + 2
    buffer[at++] = 0x0a
    buffer[at++] = length
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return false
      buffer[at++] = code
    }
    this.#at = at
    return true
  }

  ascii(key: Key, { bytes, from, to }: TextBytes): boolean {
    const start = this.#at
    const length = to - from
    this.#head(key, 1 + varintSize(length) + length)
    this.byte(0x0a)
    this.varint(length)
    this.#reserve(length)
    const buffer = this.#buffer
    let at = this.#at
    for (let i = from; i < to; i++) {
      const code = bytes[i] ?? 0
      if (code > 0x7f) {
        this.#at = start
        return false
      }
      buffer[at++] = code
    }
    this.#at = at
    return true
  }

  integer(key: Key, value: number): void {
    if (value >= 0 && value <= 0xffff_ffff) {
      this.#head(key, 1 + varintSize(value))
      this.byte(0x18)
      this.varint(value)
      return
    }
    const start = this.#open(key)
    this.byte(0x18)
    this.varint(value)
    this.#shut(start)
  }

  flag(key: Key, value: boolean): void {
    this.#head(key, 2)
    this.byte(0x10)
    this.byte(value ? 1 : 0)
  }

  list(key: Key, values: readonly string[]): void {
    const start = this.#open(key)
    this.byte(0x2a)
    const array = this.open(1)
    for (const value of values) {
      const length = utf8Length(value)
      this.byte(0x0a)
      this.varint(1 + varintSize(length) + length)
      this.byte(0x0a)
      this.varint(length)
      this.#utf8(value, length)
    }
    this.close(array, 1)
    this.#shut(start)
  }

  /** Tag and length of the KeyValue, its key, tag and length of its value. */
  #head(key: Key, valueLength: number): void {
    this.byte(this.#attributeTag)
    this.varint(key.bytes.length + 1 + varintSize(valueLength) + valueLength)
    this.raw(key.bytes)
    this.byte(0x12)
    this.varint(valueLength)
  }

  /** #head for a value of unknown length. */
  #open(key: Key): { readonly pair: number; readonly value: number } {
    this.byte(this.#attributeTag)
    const pair = this.open(1)
    this.raw(key.bytes)
    this.byte(0x12)
    return { pair, value: this.open(1) }
  }

  #shut(start: { readonly pair: number; readonly value: number }): void {
    this.close(start.value, 1)
    this.close(start.pair, 1)
  }
}

function putUint32(buffer: Buffer, at: number, value: number): void {
  buffer[at] = value
  buffer[at + 1] = value >>> 8
  buffer[at + 2] = value >>> 16
  buffer[at + 3] = value >>> 24
}
