/**
 * Ring bytes → raw events: numbers as from the kernel, texts as bytes, without policies or processes.
 * 64-bit values that are only compared stay two 32-bit halves: a bigint for each would cost more than the rest.
 * Hook records, nearly all of the records, share one object that reads values on demand; one object each would be half of an event's allocations.
 */
import {
  CGROUP_BODY,
  DATA_BODY,
  EVENT_CGROUP,
  EVENT_DATA,
  EVENT_EXEC,
  EVENT_EXIT,
  EVENT_FORK,
  EVENT_HOOK,
  EVENT_MOVE,
  EVENT_RETURN,
  EXEC_BODY,
  PROCESS_DETAIL,
  EXIT_BODY,
  FORK_BODY,
  EVENT_HEADER,
  HOOK_HAS_RETURN,
  RETURN_BODY,
} from './wire.ts'
import { SharedHook, readBase, wordsOf } from './hook-record.ts'
import type { HookRecord, RawBase } from './hook-record.ts'
import { padded } from './values.ts'

/** Many ring records in one buffer, back to back, each padded to 8 bytes. */
export interface Chunk {
  readonly bytes: Buffer
  /** Bytes in use. */
  readonly length: number
}

/** Boot time in nanoseconds; with the tgid it identifies an image. Both 0: unknown. */
export interface StartKey {
  readonly lo: number
  readonly hi: number
}

/** Names of cgroups that may be a container's, each with a final NUL, the process's own first (bpf/process/cgroup.h). */
export interface CgroupNames {
  readonly cgroup: Buffer
  /** `enum cgroup_state` of bpf/event.h. */
  readonly cgroupState: number
}

export interface RawExec extends RawBase, CgroupNames {
  readonly op: 'exec'
  readonly parentTgid: number
  readonly parentStart: StartKey
  readonly euid: number
  readonly auid: number
  readonly flags: number
  readonly nspid: number
  /** A struct process_detail. */
  readonly detail: Buffer
  readonly filename: Buffer
  readonly cwd: Buffer
  /** The path of the executed file as the kernel resolved it; empty when it is not completely known. */
  readonly path: Buffer
  /** The file's inode number, 0n if unknown, and its link count: 0 for a file that is deleted or never had a name. */
  readonly fileIno: bigint
  readonly fileLinks: number
  /** argv, each element with a final NUL; the last may be cut. */
  readonly argv: Buffer
  /** Bytes of the whole argv, and of the environment if it is enabled. The rest, as far as it was sent, came before in RawData. */
  readonly argvTotal: number
  readonly envTotal: number
  /** Bits of `enum raised` of bpf/event.h. */
  readonly raised: number
}

/** Parts without room in an exec record; they come before it, with the same tgid and start. */
export interface RawData extends RawBase {
  readonly op: 'data'
  /** `enum data_of` of bpf/event.h. */
  readonly of: number
  /** Offset of the first byte. */
  readonly at: number
  readonly bytes: Buffer
}

export interface RawFork extends RawBase, CgroupNames {
  readonly op: 'fork'
  readonly parentTgid: number
  readonly parentStart: StartKey
  readonly nspid: number
}

/** A process was moved to another cgroup. */
export interface RawMove extends RawBase, CgroupNames {
  readonly op: 'move'
}

export interface RawExit extends RawBase {
  readonly op: 'exit'
  readonly code: number
}

/** A cgroup was made or removed. */
export interface RawCgroup extends RawBase, CgroupNames {
  readonly op: 'cgroup'
  readonly id: bigint
  readonly gone: boolean
}

/** A call. Thread, time of the entry and number together identify it. */
export interface PendingCall {
  readonly tid: number
  readonly sec: number
  readonly nsec: number
  readonly callLo: number
  readonly callHi: number
}

export interface CallEnd extends PendingCall {
  /** The register; undefined when the return was not seen. */
  readonly returned?: { readonly lo: number; readonly hi: number } | undefined
}

/** Ends of calls that come from the kernel's map instead of the ring. The records of these calls were in the ring before. */
export interface MapEnds {
  readonly calls: readonly CallEnd[]
  /** Detached functions: no further ends of their calls will arrive. */
  readonly functions: readonly number[]
}

/** The end of a call whose records are marked HOOK_RETURN_FOLLOWS; `sec` and `nsec` are theirs. */
export interface RawReturn extends RawBase, CallEnd {
  readonly op: 'return'
}

export type RawEvent = RawExec | RawFork | RawMove | RawExit | RawCgroup | HookRecord | RawReturn | RawData

const hook = new SharedHook()

/**
 * Calls `each` for every record of the chunk, in ring order. Texts are views into the chunk and valid as long as it is; a HookRecord is valid
 * until `each` returns, and after `seek`.
 * Returns the number of malformed records (impossible size, unknown type): 0 unless kernel and user space have different versions.
 */
export function decodeChunk(chunk: Chunk, each: (event: RawEvent, bytes: Buffer) => void): number {
  const { bytes, length } = chunk
  const words = wordsOf(bytes)
  let malformed = 0
  let at = 0
  while (at + EVENT_HEADER.bytes <= length) {
    const size = words[at >>> 2] ?? 0
    if (size < EVENT_HEADER.bytes || at + size > length) {
      // The rest of the chunk is lost: record boundaries are known from sizes only.
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
  const body = at + EVENT_HEADER.bytes
  const end = at + size
  switch (meta & 0xff) {
    case EVENT_HOOK:
      return hook.read(bytes, words, at)
    case EVENT_EXEC:
      return end - body < EXEC_BODY.bytes
        ? undefined
        : { op: 'exec', ...baseOf(words, word), ...decodeExec(bytes, body, end) }
    case EVENT_FORK:
      if (end - body < FORK_BODY.bytes) return undefined
      return {
        op: 'fork',
        ...baseOf(words, word),
        parentTgid: bytes.readUInt32LE(body + FORK_BODY.parentTgid),
        parentStart: startKey(bytes, body + FORK_BODY.parentStartNs),
        nspid: bytes.readUInt32LE(body + FORK_BODY.nspid),
        ...cgroupOf(bytes, body, end),
      }
    case EVENT_MOVE:
      if (end - body < FORK_BODY.bytes) return undefined
      return { op: 'move', ...baseOf(words, word), ...cgroupOf(bytes, body, end) }
    case EVENT_RETURN: {
      if (end - body < RETURN_BODY.bytes) return undefined
      const call = (body + RETURN_BODY.call) >>> 2
      const value = (body + RETURN_BODY.returned) >>> 2
      return {
        op: 'return',
        ...baseOf(words, word),
        callLo: words[call] ?? 0,
        callHi: words[call + 1] ?? 0,
        returned:
          (words[word + 11] ?? 0) >>> 16 === HOOK_HAS_RETURN
            ? { lo: words[value] ?? 0, hi: words[value + 1] ?? 0 }
            : undefined,
      }
    }
    case EVENT_CGROUP: {
      if (end - body < CGROUP_BODY.bytes) return undefined
      const names = body + CGROUP_BODY.bytes
      return {
        op: 'cgroup',
        ...baseOf(words, word),
        id: bytes.readBigUInt64LE(body + CGROUP_BODY.id),
        gone: bytes.readUInt32LE(body + CGROUP_BODY.gone) !== 0,
        cgroup: bytes.subarray(names, Math.min(names + bytes.readUInt16LE(body + CGROUP_BODY.namesLen), end)),
        cgroupState: bytes.readUInt16LE(body + CGROUP_BODY.namesState),
      }
    }
    case EVENT_DATA: {
      const from = body + DATA_BODY.bytes
      if (end < from) return undefined
      return {
        op: 'data',
        ...baseOf(words, word),
        of: bytes.readUInt32LE(body + DATA_BODY.of),
        at: bytes.readUInt32LE(body + DATA_BODY.at),
        bytes: bytes.subarray(from, end),
      }
    }
    case EVENT_EXIT:
      if (end - body < EXIT_BODY.bytes) return undefined
      return { op: 'exit', ...baseOf(words, word), code: bytes.readUInt32LE(body + EXIT_BODY.code) }
    default:
      return undefined
  }
}

function baseOf(words: Uint32Array, word: number): RawBase {
  const base = { cpu: 0, seq: 0, sec: 0, nsec: 0, tgid: 0, tid: 0, startLo: 0, startHi: 0 }
  readBase(base, words, word)
  return base
}

export function startKey(bytes: Buffer, at: number): StartKey {
  return { lo: bytes.readUInt32LE(at), hi: bytes.readUInt32LE(at + 4) }
}

function cgroupOf(bytes: Buffer, body: number, end: number): CgroupNames {
  const at = body + FORK_BODY.bytes
  return {
    cgroup: bytes.subarray(at, Math.min(at + bytes.readUInt16LE(body + FORK_BODY.cgroupLen), end)),
    cgroupState: bytes.readUInt16LE(body + FORK_BODY.cgroupState),
  }
}

function decodeExec(bytes: Buffer, body: number, end: number): Omit<RawExec, 'op' | keyof RawBase> {
  let at = body + EXEC_BODY.bytes
  const text = (length: number, pad: boolean): Buffer => {
    const slice = bytes.subarray(Math.min(at, end), Math.min(at + length, end))
    at += pad ? padded(length) : length
    return slice
  }
  return {
    parentTgid: bytes.readUInt32LE(body + EXEC_BODY.parentTgid),
    parentStart: startKey(bytes, body + EXEC_BODY.parentStartNs),
    euid: bytes.readUInt32LE(body + EXEC_BODY.euid),
    auid: bytes.readUInt32LE(body + EXEC_BODY.auid),
    flags: bytes.readUInt32LE(body + EXEC_BODY.flags),
    nspid: bytes.readUInt32LE(body + EXEC_BODY.nspid),
    detail: bytes.subarray(body + EXEC_BODY.detail, body + EXEC_BODY.detail + PROCESS_DETAIL.bytes),
    fileIno: bytes.readBigUInt64LE(body + EXEC_BODY.fileIno),
    fileLinks: bytes.readUInt32LE(body + EXEC_BODY.fileLinks),
    cgroupState: bytes.readUInt16LE(body + EXEC_BODY.cgroupState),
    argvTotal: bytes.readUInt32LE(body + EXEC_BODY.argvTotal),
    envTotal: bytes.readUInt32LE(body + EXEC_BODY.envTotal),
    raised: bytes.readUInt16LE(body + EXEC_BODY.raised),
    cgroup: text(bytes.readUInt16LE(body + EXEC_BODY.cgroupLen), true),
    filename: text(bytes.readUInt16LE(body + EXEC_BODY.filenameLen), true),
    cwd: text(bytes.readUInt16LE(body + EXEC_BODY.cwdLen), true),
    path: text(bytes.readUInt16LE(body + EXEC_BODY.pathLen), true),
    argv: text(bytes.readUInt32LE(body + EXEC_BODY.argvLen), false),
  }
}
