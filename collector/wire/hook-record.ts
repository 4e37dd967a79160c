/** Hook records: one object for all of them, which reads the values of a record when they are used. */
import { EVENT_HEADER, FILE_INFO, TEXT_KEY, VALUE, VALUE_DETAILS, VALUE_FILE } from './wire.ts'
import { padded, readValues } from './values.ts'
import type { Mutable, RawValue } from './values.ts'

export interface RawBase {
  readonly cpu: number
  /** Per-CPU sequence. */
  readonly seq: number
  /** CLOCK_BOOTTIME. */
  readonly sec: number
  readonly nsec: number
  readonly tgid: number
  readonly tid: number
  readonly startLo: number
  readonly startHi: number
}

export interface RawHook extends RawBase {
  readonly op: 'hook'
  readonly hookId: number
  readonly selector: number
  /** `enum hook_flag` of bpf/event.h. */
  readonly flags: number
  /** Effective user of the thread at the call. */
  readonly uid: number
  /** Only the first `count` belong to this record. */
  readonly values: readonly RawValue[]
  readonly count: number
}

/** The hook record that was read last. */
export interface HookRecord extends RawHook {
  /** Its offset in the chunk. */
  readonly at: number
  /** Reads the record at an offset again; false if the chunk has another one there by now. */
  seek(bytes: Buffer, at: number, seq: number, nsec: number): boolean
  /** The shape of a record with a file as its first value, which has this index, and few others; undefined for other records. */
  pathShape(index: number, known: Map<number, PathShape>): PathShape | undefined
}

/** Records that differ only in process, time, the path of the file, and its inode. The path is that of the record that was read last. */
export interface PathShape {
  bytes: Buffer
  from: number
  to: number
  /** Their other words. */
  readonly words: readonly number[]
}

/** Words of three numbers. Other values, such as texts, differ from call to call. */
const SHAPE_WORDS = 12
/** Words before those: of the header and of the file. */
const SHARED_WORDS = 4
/** Of FNV-1a. */
const PRIME = 0x0100_0193
/** Each takes about 1 kB in each encoder. A hook with more has numbers that differ from call to call: its further calls are read value by value. */
const MOST_SHAPES = 32

export class SharedHook implements HookRecord {
  readonly op = 'hook'
  cpu = 0
  seq = 0
  sec = 0
  nsec = 0
  tgid = 0
  tid = 0
  startLo = 0
  startHi = 0
  hookId = 0
  selector = 0
  flags = 0
  uid = 0
  at = 0
  #bytes: Buffer | undefined
  #words: Uint32Array = new Uint32Array()
  #count: number | undefined
  readonly #values: Array<Mutable<RawValue>> = []

  /** `words`: those of `bytes`. */
  read(bytes: Buffer, words: Uint32Array, at: number): this {
    const word = at >>> 2
    readBase(this, words, word)
    this.hookId = words[word + 10] ?? 0
    this.selector = (words[word + 11] ?? 0) & 0xffff
    this.flags = (words[word + 11] ?? 0) >>> 16
    this.uid = words[word + 12] ?? 0
    this.at = at
    this.#bytes = bytes
    this.#words = words
    this.#count = undefined
    return this
  }

  seek(bytes: Buffer, at: number, seq: number, nsec: number): boolean {
    this.read(bytes, bytes === this.#bytes ? this.#words : wordsOf(bytes), at)
    return this.seq === seq && this.nsec === nsec
  }

  get values(): readonly RawValue[] {
    this.#count ??= this.#read()
    return this.#values
  }

  get count(): number {
    return (this.#count ??= this.#read())
  }

  pathShape(index: number, known: Map<number, PathShape>): PathShape | undefined {
    const { at } = this
    const bytes = this.#bytes
    const words = this.#words
    const word = at >>> 2
    const value = (at + EVENT_HEADER.bytes) >>> 2
    const size = words[word] ?? 0
    const head = words[value] ?? 0
    const meta = words[value + 1] ?? 0
    const from = at + EVENT_HEADER.bytes + VALUE.bytes + FILE_INFO.bytes + TEXT_KEY.bytes
    const length = head & 0xffff
    const rest = (from + padded(length)) >>> 2
    const more = ((at + padded(size)) >>> 2) - rest
    if ((meta & 0xff) !== VALUE_FILE || (((meta >>> 8) & 0xff) | ((head >>> 16) << 8)) !== index) return undefined
    if (bytes === undefined || ((meta >>> 16) & VALUE_DETAILS) !== 0) return undefined
    if (length === 0 || from + length > at + size || more > SHAPE_WORDS) return undefined
    const mode = words[value + 5] ?? 0
    // The number of values, and of the bytes that fill the last word.
    const count = (((words[word + 1] ?? 0) >>> 8) & 0xff) | ((size & 7) << 8)
    const selected = words[word + 11] ?? 0
    let hash = Math.imul(Math.imul(Math.imul(meta ^ count, PRIME) ^ mode, PRIME) ^ selected, PRIME)
    for (let i = 0; i < more; i++) hash = Math.imul(hash ^ (words[rest + i] ?? 0), PRIME)
    let shape = known.get(hash)
    if (shape === undefined) {
      if (known.size >= MOST_SHAPES) return undefined
      const own = [meta, mode, count, selected, ...words.subarray(rest, rest + more)]
      shape = { bytes, from, to: from, words: own }
      known.set(hash, shape)
    }
    const own = shape.words
    if (own.length !== SHARED_WORDS + more || own[0] !== meta || own[1] !== mode || own[2] !== count) return undefined
    if (own[3] !== selected) return undefined
    for (let i = 0; i < more; i++) if (own[SHARED_WORDS + i] !== words[rest + i]) return undefined
    shape.bytes = bytes
    shape.from = from
    shape.to = from + length
    return shape
  }

  #read(): number {
    const word = this.at >>> 2
    const end = this.at + (this.#words[word] ?? 0)
    const count = ((this.#words[word + 1] ?? 0) >>> 8) & 0xff
    return readValues(this.#values, this.#words, this.at + EVENT_HEADER.bytes, end, count)
  }
}

export const wordsOf = (bytes: Buffer): Uint32Array =>
  new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2)

export function readBase(into: Mutable<RawBase>, words: Uint32Array, word: number): void {
  into.cpu = (words[word + 1] ?? 0) >>> 16
  into.seq = (words[word + 2] ?? 0) + (words[word + 3] ?? 0) * 0x1_0000_0000
  into.sec = words[word + 4] ?? 0
  into.nsec = words[word + 5] ?? 0
  into.tgid = words[word + 6] ?? 0
  into.tid = words[word + 7] ?? 0
  into.startLo = words[word + 8] ?? 0
  into.startHi = words[word + 9] ?? 0
}
