/** Hook records: one object for all of them, which reads the values of a record when they are used. */
import { EVENT_HEADER } from './wire.ts'
import { readValues } from './values.ts'
import type { RawValue } from './values.ts'

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
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

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
