/** The values of a hook's record, as the kernel gave them (`struct value` of bpf/event.h). */
import {
  FILE_DETAILS,
  FILE_INFO,
  TEXT_KEY,
  VALUE,
  VALUE_BYTES,
  VALUE_DETAILS,
  VALUE_FILE,
  VALUE_INT,
  VALUE_STRING,
  VALUE_UINT,
} from './wire.ts'

/** One argument; `from` and `to` bound its text inside the chunk. For bytes, `lo` and `hi` are their full number. */
export interface RawValue {
  readonly kind: number
  readonly index: number
  readonly flags: number
  readonly lo: number
  readonly hi: number
  readonly mode: number
  readonly dev: number
  readonly from: number
  readonly to: number
  /** Offset of a file's details; 0: there are none. */
  readonly details: number
}

/** The value while it is made, or for its one writer. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const NO_VALUE: RawValue = { kind: 0, index: 0, flags: 0, lo: 0, hi: 0, mode: 0, dev: 0, from: 0, to: 0, details: 0 }

const HIGH_MAX = 0x1f_ffff
/** A number of 64 bits; a bigint only above 2^53, as inode numbers of an overlay may be. */
export const exact = (lo: number, hi: number): bigint | number =>
  hi > HIGH_MAX ? (BigInt(hi) << 32n) | BigInt(lo) : lo + hi * 0x1_0000_0000

export const padded = (length: number): number => (length + 7) & ~7

/** Reads `count` values at `body` of a record into `values`, whose objects it uses again; returns how many there were. */
export function readValues(
  values: Array<Mutable<RawValue>>,
  words: Uint32Array,
  body: number,
  end: number,
  count: number,
): number {
  let at = body
  let read = 0
  for (; read < count && at + VALUE.bytes <= end; read++) {
    const value = (values[read] ??= { ...NO_VALUE })
    const word = at >>> 2
    const len = (words[word] ?? 0) & 0xffff
    const meta = words[word + 1] ?? 0
    const kind = meta & 0xff
    const payload = word + 2
    let from = at + VALUE.bytes
    const isFile = kind === VALUE_FILE
    const isNumber = isFile || kind === VALUE_INT || kind === VALUE_UINT
    value.kind = kind
    // With the places above the index: `valueIndex` of kernel/layout/hook.ts.
    value.index = ((meta >>> 8) & 0xff) | (((words[word] ?? 0) >>> 16) << 8)
    value.flags = meta >>> 16
    value.lo = isNumber ? (words[payload] ?? 0) : 0
    value.hi = isNumber ? (words[payload + 1] ?? 0) : 0
    value.dev = isFile ? (words[payload + 2] ?? 0) : 0
    value.mode = isFile ? (words[payload + 3] ?? 0) : 0
    if (isFile) from += FILE_INFO.bytes + TEXT_KEY.bytes
    else if (kind === VALUE_STRING || kind === VALUE_BYTES) from += TEXT_KEY.bytes
    value.from = from
    value.to = Math.min(from + len, end)
    at = from + padded(len)
    value.details = 0
    if (isFile && (value.flags & VALUE_DETAILS) !== 0) {
      // A record that ends within them: only if kernel and user space have different versions.
      if (at + FILE_DETAILS.bytes <= end) value.details = at
      at += FILE_DETAILS.bytes
    }
    if (kind !== VALUE_BYTES) continue
    value.lo = words[at >>> 2] ?? 0
    value.hi = words[(at >>> 2) + 1] ?? 0
    at += 8
  }
  return read
}
