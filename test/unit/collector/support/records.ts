/** Raw events → ring bytes, by wire.ts: the inverse of decode. */
import type { RawEvent, RawValue } from '../../../../collector/ingest/decode.ts'
import * as wire from '../../../../collector/kernel/wire.ts'

const { HEADER, EXEC, FORK, EXIT, VALUE, FILE_INFO } = wire
const TYPES = { exec: wire.EVENT_EXEC, fork: wire.EVENT_FORK, exit: wire.EVENT_EXIT, hook: wire.EVENT_HOOK } as const

const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes], (bytes.length + 7) & ~7)

/** A value to be written; a text is in `text` instead of at its position in a chunk. */
export interface ValueSpec extends Omit<RawValue, 'from' | 'to'> {
  readonly text: Buffer
}

export type RecordSpec =
  | Exclude<RawEvent, { op: 'hook' }>
  | (Omit<Extract<RawEvent, { op: 'hook' }>, 'values' | 'count'> & { values: readonly ValueSpec[] })

function valueBytes(value: ValueSpec): Buffer {
  const { kind, text } = value
  const isText = kind === wire.VALUE_FILE || kind === wire.VALUE_STRING
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
  return Buffer.concat([head, info, Buffer.alloc(wire.TEXT_KEY_HEAD_BYTES, 0xee), pad(text)])
}

function bodyOf(event: RecordSpec): Buffer {
  switch (event.op) {
    case 'fork': {
      const body = Buffer.alloc(FORK.bytes)
      body.writeUInt32LE(event.parentStart.lo, FORK.parentStartNs)
      body.writeUInt32LE(event.parentStart.hi, FORK.parentStartNs + 4)
      body.writeUInt32LE(event.parentTgid, FORK.parentTgid)
      body.writeUInt32LE(event.nspid, FORK.nspid)
      return body
    }
    case 'exit': {
      const body = Buffer.alloc(EXIT.bytes)
      body.writeUInt32LE(event.code, EXIT.code)
      return body
    }
    case 'exec': {
      const body = Buffer.alloc(EXEC.bytes)
      body.writeUInt32LE(event.parentStart.lo, EXEC.parentStartNs)
      body.writeUInt32LE(event.parentStart.hi, EXEC.parentStartNs + 4)
      for (const field of ['parentTgid', 'euid', 'auid', 'flags', 'nspid'] as const) {
        body.writeUInt32LE(event[field], EXEC[field])
      }
      body.writeUInt16LE(event.filename.length, EXEC.filenameLen)
      body.writeUInt16LE(event.cwd.length, EXEC.cwdLen)
      body.writeUInt16LE(event.cgroup.length, EXEC.cgroupLen)
      body.writeUInt16LE(event.path.length, EXEC.pathLen)
      body.writeBigUInt64LE(event.fileIno, EXEC.fileIno)
      body.writeUInt32LE(event.fileLinks, EXEC.fileLinks)
      body.writeUInt32LE(event.argv.length, EXEC.argvLen)
      return Buffer.concat([body, pad(event.filename), pad(event.cwd), pad(event.cgroup), pad(event.path), event.argv])
    }
    case 'hook':
      return Buffer.concat(event.values.map(valueBytes))
  }
}

/** One record as in a chunk, padded to 8 bytes. */
export function recordBytes(event: RecordSpec): Buffer {
  const body = bodyOf(event)
  const head = Buffer.alloc(HEADER.bytes)
  head.writeUInt32LE(HEADER.bytes + body.length, HEADER.size)
  head[HEADER.type] = TYPES[event.op]
  head.writeUInt16LE(event.cpu, HEADER.cpu)
  head.writeBigUInt64LE(BigInt(event.seq), HEADER.seq)
  head.writeUInt32LE(event.sec, HEADER.timeSec)
  head.writeUInt32LE(event.nsec, HEADER.timeNsec)
  head.writeUInt32LE(event.tgid, HEADER.tgid)
  head.writeUInt32LE(event.tid, HEADER.tid)
  head.writeUInt32LE(event.startLo, HEADER.startNs)
  head.writeUInt32LE(event.startHi, HEADER.startNs + 4)
  if (event.op === 'hook') {
    head[HEADER.nargs] = event.values.length
    head.writeUInt32LE(event.hookId, HEADER.hookId)
    head.writeUInt16LE(event.selector, HEADER.selector)
  }
  return pad(Buffer.concat([head, body]))
}
