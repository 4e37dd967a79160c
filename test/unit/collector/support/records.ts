/** Raw events → ring bytes, by wire.ts: the inverse of decode. */
import type { RawValue } from '../../../../collector/wire/values.ts'
import type { RawEvent } from '../../../../collector/wire/decode.ts'
import type { RawHook } from '../../../../collector/wire/hook-record.ts'
import * as wire from '../../../../collector/wire/wire.ts'

const { EVENT_HEADER, DATA_BODY, EXEC_BODY, FORK_BODY, CGROUP_BODY, EXIT_BODY, RETURN_BODY, VALUE, FILE_INFO } = wire
const TYPES = {
  exec: wire.EVENT_EXEC,
  fork: wire.EVENT_FORK,
  move: wire.EVENT_MOVE,
  cgroup: wire.EVENT_CGROUP,
  data: wire.EVENT_DATA,
  exit: wire.EVENT_EXIT,
  hook: wire.EVENT_HOOK,
  return: wire.EVENT_RETURN,
} as const

const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes], (bytes.length + 7) & ~7)

/** A value to be written; a text is in `text` instead of at its position in a chunk. */
export interface ValueSpec extends Omit<RawValue, 'from' | 'to' | 'details'> {
  readonly text: Buffer
  /** Details of a file whose flags have VALUE_DETAILS; empty for others. */
  readonly details: Buffer
}

export type RecordSpec =
  | Exclude<RawEvent, { op: 'hook' }>
  | (Omit<RawHook, 'values' | 'count'> & { values: readonly ValueSpec[] })

/** Kinds of values that have a text. */
export const hasText = (kind: number): boolean =>
  kind === wire.VALUE_FILE || kind === wire.VALUE_STRING || kind === wire.VALUE_BYTES

function valueBytes(value: ValueSpec): Buffer {
  const { kind, text } = value
  const isText = hasText(kind)
  const head = Buffer.alloc(VALUE.bytes)
  head[VALUE.kind] = kind
  head[VALUE.index] = value.index
  head.writeUInt16LE(value.flags, VALUE.flags)
  if (kind === wire.VALUE_ERROR) return head
  head.writeUInt32LE(isText ? text.length : 8, VALUE.len)
  const number = Buffer.alloc(8)
  number.writeUInt32LE(value.lo, 0)
  number.writeUInt32LE(value.hi, 4)
  if (!isText) return Buffer.concat([head, number])
  const info = Buffer.alloc(kind === wire.VALUE_FILE ? FILE_INFO.bytes : 0)
  if (kind === wire.VALUE_FILE) {
    number.copy(info, FILE_INFO.ino)
    info.writeUInt32LE(value.dev, FILE_INFO.dev)
    info.writeUInt32LE(value.mode, FILE_INFO.mode)
  }
  // The last filter that read it leaves its key prefix there.
  const size = kind === wire.VALUE_BYTES ? [number] : []
  return Buffer.concat([head, info, Buffer.alloc(wire.TEXT_KEY.bytes, 0xee), pad(text), value.details, ...size])
}

function bodyOf(event: RecordSpec): Buffer {
  switch (event.op) {
    case 'fork':
    case 'move': {
      const body = Buffer.alloc(FORK_BODY.bytes)
      body.writeUInt16LE(event.cgroup.length, FORK_BODY.cgroupLen)
      body.writeUInt16LE(event.cgroupState, FORK_BODY.cgroupState)
      if (event.op === 'fork') {
        body.writeUInt32LE(event.parentStart.lo, FORK_BODY.parentStartNs)
        body.writeUInt32LE(event.parentStart.hi, FORK_BODY.parentStartNs + 4)
        body.writeUInt32LE(event.parentTgid, FORK_BODY.parentTgid)
        body.writeUInt32LE(event.nspid, FORK_BODY.nspid)
      }
      return Buffer.concat([body, event.cgroup])
    }
    case 'cgroup': {
      const body = Buffer.alloc(CGROUP_BODY.bytes)
      body.writeBigUInt64LE(event.id, CGROUP_BODY.id)
      body.writeUInt32LE(event.gone ? 1 : 0, CGROUP_BODY.gone)
      body.writeUInt16LE(event.cgroup.length, CGROUP_BODY.namesLen)
      body.writeUInt16LE(event.cgroupState, CGROUP_BODY.namesState)
      return Buffer.concat([body, event.cgroup])
    }
    case 'data': {
      const body = Buffer.alloc(DATA_BODY.bytes)
      body.writeUInt32LE(event.of, DATA_BODY.of)
      body.writeUInt32LE(event.at, DATA_BODY.at)
      return Buffer.concat([body, event.bytes])
    }
    case 'exit': {
      const body = Buffer.alloc(EXIT_BODY.bytes)
      body.writeUInt32LE(event.code, EXIT_BODY.code)
      return body
    }
    case 'exec': {
      const body = Buffer.alloc(EXEC_BODY.bytes)
      body.writeUInt32LE(event.parentStart.lo, EXEC_BODY.parentStartNs)
      body.writeUInt32LE(event.parentStart.hi, EXEC_BODY.parentStartNs + 4)
      for (const field of ['parentTgid', 'euid', 'auid', 'flags', 'nspid'] as const) {
        body.writeUInt32LE(event[field], EXEC_BODY[field])
      }
      event.detail.copy(body, EXEC_BODY.detail)
      body.writeUInt16LE(event.filename.length, EXEC_BODY.filenameLen)
      body.writeUInt16LE(event.cwd.length, EXEC_BODY.cwdLen)
      body.writeUInt16LE(event.cgroup.length, EXEC_BODY.cgroupLen)
      body.writeUInt16LE(event.cgroupState, EXEC_BODY.cgroupState)
      body.writeUInt16LE(event.path.length, EXEC_BODY.pathLen)
      body.writeBigUInt64LE(event.fileIno, EXEC_BODY.fileIno)
      body.writeUInt32LE(event.fileLinks, EXEC_BODY.fileLinks)
      body.writeUInt32LE(event.argv.length, EXEC_BODY.argvLen)
      body.writeUInt32LE(event.argvTotal, EXEC_BODY.argvTotal)
      body.writeUInt32LE(event.envTotal, EXEC_BODY.envTotal)
      body.writeUInt16LE(event.raised, EXEC_BODY.raised)
      return Buffer.concat([body, pad(event.cgroup), pad(event.filename), pad(event.cwd), pad(event.path), event.argv])
    }
    case 'hook':
      return Buffer.concat(event.values.map(valueBytes))
    case 'return': {
      const body = Buffer.alloc(RETURN_BODY.bytes)
      body.writeUInt32LE(event.callLo, RETURN_BODY.call)
      body.writeUInt32LE(event.callHi, RETURN_BODY.call + 4)
      body.writeUInt32LE(event.returned?.lo ?? 0, RETURN_BODY.returned)
      body.writeUInt32LE(event.returned?.hi ?? 0, RETURN_BODY.returned + 4)
      return body
    }
  }
}

/** One record as in a chunk, padded to 8 bytes. */
export function recordBytes(event: RecordSpec): Buffer {
  const body = bodyOf(event)
  const head = Buffer.alloc(EVENT_HEADER.bytes)
  head.writeUInt32LE(EVENT_HEADER.bytes + body.length, EVENT_HEADER.size)
  head[EVENT_HEADER.type] = TYPES[event.op]
  head.writeUInt16LE(event.cpu, EVENT_HEADER.cpu)
  head.writeBigUInt64LE(BigInt(event.seq), EVENT_HEADER.seq)
  head.writeUInt32LE(event.sec, EVENT_HEADER.timeSec)
  head.writeUInt32LE(event.nsec, EVENT_HEADER.timeNsec)
  head.writeUInt32LE(event.tgid, EVENT_HEADER.tgid)
  head.writeUInt32LE(event.tid, EVENT_HEADER.tid)
  head.writeUInt32LE(event.startLo, EVENT_HEADER.startNs)
  head.writeUInt32LE(event.startHi, EVENT_HEADER.startNs + 4)
  if (event.op === 'hook') {
    head[EVENT_HEADER.nargs] = event.values.length
    head.writeUInt32LE(event.hookId, EVENT_HEADER.hookId)
    head.writeUInt16LE(event.selector, EVENT_HEADER.selector)
    head.writeUInt16LE(event.flags, EVENT_HEADER.flags)
    head.writeUInt32LE(event.uid, EVENT_HEADER.uid)
  }
  if (event.op === 'return') {
    head.writeUInt16LE(
      event.returned === undefined ? wire.HOOK_RETURN_MISSED : wire.HOOK_HAS_RETURN,
      EVENT_HEADER.flags,
    )
  }
  return pad(Buffer.concat([head, body]))
}
