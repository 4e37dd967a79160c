/**
 * Ring bytes → raw events: numbers as the kernel gave them, texts as bytes. Knows nothing of policies or processes.
 * 64-bit values that serve only to be compared stay two 32-bit halves: a bigint each would cost more than the rest.
 */
import {
  EVENT_EXEC,
  EVENT_EXIT,
  EVENT_FORK,
  EVENT_HOOK,
  EXEC,
  EXIT,
  FILE_INFO,
  FORK,
  HEADER,
  TEXT_KEY_HEAD_BYTES,
  VALUE,
  VALUE_FILE,
  VALUE_INT,
  VALUE_STRING,
  VALUE_UINT,
} from './wire.ts'

/** Many ring records in one buffer, back to back, each padded to 8 bytes. */
export interface Chunk {
  readonly bytes: Buffer
  /** Bytes in use. */
  readonly length: number
}

/** Boot time in nanoseconds that identifies an image together with its tgid; both 0 = unknown. */
export interface StartKey {
  readonly lo: number
  readonly hi: number
}

interface RawBase {
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

export interface RawExec extends RawBase {
  readonly op: 'exec'
  readonly parentTgid: number
  readonly parentStart: StartKey
  readonly euid: number
  readonly auid: number
  readonly flags: number
  readonly nspid: number
  readonly filename: Buffer
  readonly cwd: Buffer
  readonly cgroup: Buffer
  /** argv, each element ended by a NUL; the last may be cut. */
  readonly argv: Buffer
}

export interface RawFork extends RawBase {
  readonly op: 'fork'
  readonly parentTgid: number
  readonly parentStart: StartKey
  readonly nspid: number
}

export interface RawExit extends RawBase {
  readonly op: 'exit'
  readonly code: number
}

/** One argument; `from` and `to` bound its text inside the chunk. */
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
}

export interface RawHook extends RawBase {
  readonly op: 'hook'
  readonly hookId: number
  readonly selector: number
  readonly values: readonly RawValue[]
}

export type RawEvent = RawExec | RawFork | RawExit | RawHook

const padded = (length: number): number => (length + 7) & ~7

/**
 * Calls `each` for every record of the chunk, in ring order; texts are views into the chunk and end with it.
 * Returns how many records were not understood (a size that can not be, an unknown type): 0 unless kernel and
 * user space are of different versions.
 */
export function decodeChunk(chunk: Chunk, each: (event: RawEvent, bytes: Buffer) => void): number {
  const { bytes, length } = chunk
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, length >>> 2)
  let malformed = 0
  let at = 0
  while (at + HEADER.bytes <= length) {
    const size = words[at >>> 2] ?? 0
    if (size < HEADER.bytes || at + size > length) {
      // Nothing after it can be found: record boundaries are only known by their sizes.
      return malformed + 1
    }
    const event = decodeRecord(bytes, words, at, size)
    if (event === undefined) malformed++
    else each(event, bytes)
    at += padded(size)
  }
  return malformed
}

function decodeRecord(bytes: Buffer, words: Uint32Array, at: number, size: number): RawEvent | undefined {
  const word = at >>> 2
  const meta = words[word + 1] ?? 0
  const base = {
    cpu: meta >>> 16,
    seq: (words[word + 2] ?? 0) + (words[word + 3] ?? 0) * 0x1_0000_0000,
    sec: words[word + 4] ?? 0,
    nsec: words[word + 5] ?? 0,
    tgid: words[word + 6] ?? 0,
    tid: words[word + 7] ?? 0,
    startLo: words[word + 8] ?? 0,
    startHi: words[word + 9] ?? 0,
  }
  const body = at + HEADER.bytes
  const end = at + size
  switch (meta & 0xff) {
    case EVENT_HOOK:
      return {
        op: 'hook',
        cpu: base.cpu,
        seq: base.seq,
        sec: base.sec,
        nsec: base.nsec,
        tgid: base.tgid,
        tid: base.tid,
        startLo: base.startLo,
        startHi: base.startHi,
        hookId: words[word + 10] ?? 0,
        selector: (words[word + 11] ?? 0) & 0xffff,
        values: decodeValues(words, body, end, (meta >>> 8) & 0xff),
      }
    case EVENT_EXEC:
      return end - body < EXEC.bytes ? undefined : { op: 'exec', ...base, ...decodeExec(bytes, body, end) }
    case EVENT_FORK:
      if (end - body < FORK.bytes) return undefined
      return {
        op: 'fork',
        ...base,
        parentTgid: bytes.readUInt32LE(body + FORK.parentTgid),
        parentStart: startKey(bytes, body + FORK.parentStartNs),
        nspid: bytes.readUInt32LE(body + FORK.nspid),
      }
    case EVENT_EXIT:
      if (end - body < EXIT.bytes) return undefined
      return { op: 'exit', ...base, code: bytes.readUInt32LE(body + EXIT.code) }
    default:
      return undefined
  }
}

function startKey(bytes: Buffer, at: number): StartKey {
  return { lo: bytes.readUInt32LE(at), hi: bytes.readUInt32LE(at + 4) }
}

function decodeExec(bytes: Buffer, body: number, end: number): Omit<RawExec, 'op' | keyof RawBase> {
  let at = body + EXEC.bytes
  const text = (length: number, pad: boolean): Buffer => {
    const slice = bytes.subarray(Math.min(at, end), Math.min(at + length, end))
    at += pad ? padded(length) : length
    return slice
  }
  return {
    parentTgid: bytes.readUInt32LE(body + EXEC.parentTgid),
    parentStart: startKey(bytes, body + EXEC.parentStartNs),
    euid: bytes.readUInt32LE(body + EXEC.euid),
    auid: bytes.readUInt32LE(body + EXEC.auid),
    flags: bytes.readUInt32LE(body + EXEC.flags),
    nspid: bytes.readUInt32LE(body + EXEC.nspid),
    filename: text(bytes.readUInt16LE(body + EXEC.filenameLen), true),
    cwd: text(bytes.readUInt16LE(body + EXEC.cwdLen), true),
    cgroup: text(bytes.readUInt16LE(body + EXEC.cgroupLen), true),
    argv: text(bytes.readUInt32LE(body + EXEC.argvLen), false),
  }
}

function decodeValues(words: Uint32Array, body: number, end: number, count: number): RawValue[] {
  const values: RawValue[] = []
  let at = body
  for (let i = 0; i < count && at + VALUE.bytes <= end; i++) {
    const word = at >>> 2
    const len = words[word] ?? 0
    const meta = words[word + 1] ?? 0
    const kind = meta & 0xff
    const payload = word + 2
    let from = at + VALUE.bytes
    let lo = 0
    let hi = 0
    let mode = 0
    let dev = 0
    if (kind === VALUE_FILE) {
      lo = words[payload] ?? 0
      hi = words[payload + 1] ?? 0
      dev = words[payload + 2] ?? 0
      mode = words[payload + 3] ?? 0
      from += FILE_INFO.bytes + TEXT_KEY_HEAD_BYTES
    } else if (kind === VALUE_STRING) {
      from += TEXT_KEY_HEAD_BYTES
    } else if (kind === VALUE_INT || kind === VALUE_UINT) {
      lo = words[payload] ?? 0
      hi = words[payload + 1] ?? 0
    }
    const to = Math.min(from + len, end)
    values.push({ kind, index: (meta >>> 8) & 0xff, flags: meta >>> 16, lo, hi, mode, dev, from, to })
    at = from + padded(len)
  }
  return values
}
