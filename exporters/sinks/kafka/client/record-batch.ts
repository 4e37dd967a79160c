/**
 * Writes record batches, magic 2 (Kafka's DefaultRecordBatch.java), into a reused buffer.
 *
 *   0 baseOffset i64 · 8 length i32 · 12 leaderEpoch i32 · 16 magic i8 · 17 crc u32 (CRC-32C from 21 on)
 *  21 attributes i16 · 23 lastOffsetDelta i32 · 27 firstTimestamp i64 · 35 maxTimestamp i64 · 43 producerId i64
 *  51 producerEpoch i16 · 53 baseSequence i32 · 57 count i32 · 61 records (compressed together)
 *
 * Allocates nothing per record, unlike the writers of Kafka's libraries.
 */
import { crc32c } from '@node-rs/crc32'
import { SHORT, utf8Length } from '../../../runtime/byte-writer.ts'
import type { Codec } from './codecs.ts'

const HEAD = 61
const CRC_FROM = 21
/** Maximum size of a record besides its bytes: five varints of at most ten bytes. */
const RECORD_ROOM = 64
const HEADER_ROOM = 16
const FIRST_BYTES = 256 << 10
const MAX_SPARE = 4
const ZERO = 0x30
/** A buffer that grew beyond this size is freed. */
const KEEP_BYTES = 4 << 20

export interface KafkaRecord {
  readonly key: Buffer | null
  /** A view of shared bytes: read-only, valid until the send settles. */
  readonly value: Buffer
  /** One object shared by many records, so that it is encoded once. */
  readonly common: Readonly<Record<string, string>>
  /** All headers of this record, if the value of each ends in a number; `own` is then not read. */
  readonly numbers?: readonly NumberHeader[] | undefined
  /** Headers of this record. */
  readonly own: Readonly<Record<string, string>>
  /** Milliseconds since 1970, whole. */
  readonly timestampMs: number
}

/** A header that is written without a text. */
export interface NumberHeader {
  /** Its name, after the length. */
  readonly name: Uint8Array
  /** The beginning of its value. */
  readonly prefix: Uint8Array
  number: number
}

/** `name`: at most 63 characters of ASCII. */
export const numberHeader = (name: string, prefix: string): NumberHeader => ({
  name: Buffer.from(`${String.fromCharCode(2 * name.length)}${name}`),
  prefix: Buffer.from(prefix),
  number: 0,
})

/** Records by position; one that is not an array may return the same object each time, with other contents. */
export type Records = Pick<readonly KafkaRecord[], 'length' | 'at'>

/** The producer's identity, for idempotence; `producerId` is -1 without one. */
export interface Producer {
  readonly producerId: bigint
  readonly epoch: number
  readonly sequence: number
}

export const NOBODY: Producer = { producerId: -1n, epoch: -1, sequence: 0 }

/** The sequence number after `count` records from `sequence` on: int32, wraps to 0. */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) & 0x7fffffff
}

interface CommonHeaders {
  readonly bytes: Buffer
  readonly count: number
}

export class RecordBatchWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES)
  /** Free buffers. */
  readonly #spare: Buffer[] = []
  #at = 0
  readonly #common = new WeakMap<object, CommonHeaders>()

  /** Encodes a batch into new bytes. May be called again before it settles. */
  async write(records: Records, codec: Codec, producer: Producer): Promise<Buffer> {
    const first = records.at(0)?.timestampMs ?? 0
    let latest = first
    this.#at = 0
    for (let i = 0; i < records.length; i++) {
      const record = records.at(i)
      if (record === undefined) continue
      if (record.timestampMs > latest) latest = record.timestampMs
      this.#record(record, i, record.timestampMs - first)
    }
    const raw = this.#bytes.subarray(0, this.#at)
    const compressed = codec.compress?.(raw) ?? raw
    // A codec in another thread may still read the buffer.
    const body = compressed instanceof Promise ? await this.#lent(compressed) : compressed
    const batch = Buffer.allocUnsafe(HEAD + body.length)
    body.copy(batch, HEAD)
    batch.writeBigInt64BE(0n, 0)
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(-1, 12)
    batch.writeInt8(2, 16)
    batch.writeInt16BE(codec.id, 21)
    batch.writeInt32BE(records.length - 1, 23)
    batch.writeBigInt64BE(BigInt(first), 27)
    batch.writeBigInt64BE(BigInt(latest), 35)
    batch.writeBigInt64BE(producer.producerId, 43)
    batch.writeInt16BE(producer.epoch, 51)
    batch.writeInt32BE(producer.sequence, 53)
    batch.writeInt32BE(records.length, 57)
    batch.writeUInt32BE(crc32c(batch.subarray(CRC_FROM)), 17)
    return batch
  }

  /** Switches to another buffer until the codec, possibly in another thread, has read this one. */
  async #lent(compressed: Promise<Buffer>): Promise<Buffer> {
    const lent = this.#bytes
    this.#bytes = this.#spare.pop() ?? Buffer.allocUnsafeSlow(FIRST_BYTES)
    try {
      return await compressed
    } finally {
      if (this.#spare.length < MAX_SPARE && lent.length <= KEEP_BYTES) this.#spare.push(lent)
    }
  }

  #record(record: KafkaRecord, offsetDelta: number, timeDelta: number): void {
    const { key, value, numbers } = record
    const own = numbers === undefined ? record.own : undefined
    const common = this.#commonOf(record.common)
    let count = common.count + (numbers?.length ?? 0)
    let ownBytes = 0
    for (const name in own) {
      const size = utf8Length(own[name] ?? '')
      ownBytes += varintSize(name.length) + name.length + varintSize(size) + size
      count++
    }
    if (numbers !== undefined) for (const header of numbers) ownBytes += sizeOf(header)
    const keyLength = key === null ? -1 : key.length
    const size =
      1 +
      varintSize(timeDelta) +
      varintSize(offsetDelta) +
      varintSize(keyLength) +
      Math.max(0, keyLength) +
      varintSize(value.length) +
      value.length +
      varintSize(count) +
      common.bytes.length +
      ownBytes
    this.#room(size + RECORD_ROOM + HEADER_ROOM)
    this.#varint(size)
    this.#bytes[this.#at++] = 0
    this.#varint(timeDelta)
    this.#varint(offsetDelta)
    this.#varint(keyLength)
    if (key !== null) this.#append(key)
    this.#varint(value.length)
    this.#append(value)
    this.#varint(count)
    this.#append(common.bytes)
    for (const name in own) {
      this.#text(name)
      this.#text(own[name] ?? '')
    }
    if (numbers !== undefined) for (const header of numbers) this.#number(header)
  }

  #number({ name, prefix, number }: NumberHeader): void {
    const digits = digitsOf(number)
    this.#append(name)
    this.#varint(prefix.length + digits)
    this.#append(prefix)
    this.#at += digits
    for (let rest = number, at = this.#at, left = digits; left > 0; left--) {
      const more = Math.floor(rest / 10)
      this.#bytes[--at] = ZERO + (rest - more * 10)
      rest = more
    }
  }

  #commonOf(headers: Readonly<Record<string, string>>): CommonHeaders {
    const known = this.#common.get(headers)
    if (known !== undefined) return known
    const start = this.#at
    const entries = Object.entries(headers)
    this.#room(entries.reduce((sum, [name, value]) => sum + 3 * (name.length + value.length) + HEADER_ROOM, 0))
    for (const [name, value] of entries) {
      this.#text(name)
      this.#text(value)
    }
    const made = { bytes: Buffer.from(this.#bytes.subarray(start, this.#at)), count: entries.length }
    this.#at = start
    this.#common.set(headers, made)
    return made
  }

  #text(text: string): void {
    const length = utf8Length(text)
    this.#varint(length)
    if (length !== text.length || length >= SHORT) {
      this.#at += this.#bytes.write(text, this.#at)
      return
    }
    const bytes = this.#bytes
    const at = this.#at
    for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i)
    this.#at = at + length
  }

  #append(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Zigzag varint. Uses arithmetic, because time differences may exceed 32 bits. */
  #varint(value: number): void {
    let rest = value >= 0 ? value * 2 : value * -2 - 1
    while (rest >= 0x80) {
      this.#bytes[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#at++] = rest
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + bytes))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}

function sizeOf({ name, prefix, number }: NumberHeader): number {
  const length = prefix.length + digitsOf(number)
  return name.length + varintSize(length) + length
}

function digitsOf(value: number): number {
  let digits = 1
  for (let rest = value; rest >= 10; digits++) rest = Math.floor(rest / 10)
  return digits
}

function varintSize(value: number): number {
  let rest = value >= 0 ? value * 2 : value * -2 - 1
  let size = 1
  for (; rest >= 0x80; size++) rest = Math.floor(rest / 0x80)
  return size
}
