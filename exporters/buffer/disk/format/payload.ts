/**
 * Encodes described events as the payload of a spool frame, and decodes them. Little endian:
 *
 * | size | field |
 * |---|---|
 * | 1, 1, 2 | version 2; length of the encoding's name; number of abouts |
 * | 4, 4, 8, 8 | events; bytes of the events; sequence number of the first; its number among those of the exporter, -1 for none |
 * | n | the encoding's name |
 * | each: 1, n, 2, n, [2, n] | abouts: length and text of the type, of the policy; of one about the agent also JSON |
 * | 4, 2, 8, 8 each event | where it ends; its about; its time; its sequence number, as four arrays |
 * | n | the events' bytes |
 */
import type { Change, LossKind, RunEvent } from '../../../contract/event.ts'
import type { About, Described, LossAbout, RunAbout } from '../../../contract/described.ts'
import type { Encoding } from '../../../contract/exporter.ts'
import { Memory } from '../../../contract/encoded.ts'
import { isObject } from '../../../contract/outcome.ts'
import type { ReadFrame } from '../place.ts'
import type { SpoolFrame } from './segment.ts'

const VERSION = 2
const HEAD_BYTES = 28
const EVENT_BYTES = 22
const MAX_ABOUTS = 0xffff

// The type requires an entry for each new type of event.
const TYPES: Readonly<Record<About['type'], true>> = {
  process_exec: true,
  process_exit: true,
  process_kprobe: true,
  process_lsm: true,
  process_tracepoint: true,
  events_lost: true,
  agent_run: true,
  agent_change: true,
}
const ENCODINGS: Readonly<Record<Encoding, true>> = { json: true, compact: true, otlp: true, otlp_json: true }
const STAGES: Readonly<Record<LossKind['stage'], true>> = { kernel: true, exporter: true }
const CHANGES: Readonly<Record<Change['what'], true>> = {
  policy_added: true,
  policy_replaced: true,
  policy_removed: true,
  policy_enabled: true,
  policy_disabled: true,
  config_changed: true,
}
const PHASES: Readonly<Record<RunEvent['phase'], true>> = { start: true, heartbeat: true, stop: true }

/**
 * The frame of a piece. Its bytes are not copied and must not change until they are durable. Throws RangeError for more than
 * 65,535 different abouts or a policy name above 65,535 bytes, which no piece in a queue can have.
 */
export function frameOf(piece: Described): SpoolFrame {
  // Compared by identity, because events of a kind share one; faster than a text key per event.
  const indexes = new Map<About, number>()
  const texts: Buffer[] = []
  const rows = piece.abouts.map((about) => {
    const known = indexes.get(about)
    if (known !== undefined) return known
    if (indexes.size === MAX_ABOUTS) throw new RangeError(`expected at most ${MAX_ABOUTS} different abouts in a piece`)
    const { type, policy, loss, run, change } = about
    texts.push(textOf(type, 1), textOf(policy, 2))
    if (isAgents(type)) texts.push(textOf(JSON.stringify(loss ?? run ?? change ?? {}), 2))
    indexes.set(about, indexes.size)
    return indexes.size - 1
  })
  const encoding = Buffer.from(piece.encoding)
  const names = Buffer.concat([encoding, ...texts])
  const { count } = piece
  const head = Buffer.allocUnsafe(HEAD_BYTES + names.length + count * EVENT_BYTES)
  head.writeUInt8(VERSION, 0)
  head.writeUInt8(encoding.length, 1)
  head.writeUInt16LE(indexes.size, 2)
  head.writeUInt32LE(count, 4)
  head.writeUInt32LE(piece.bytes.length, 8)
  head.writeDoubleLE(piece.firstSeq, 12)
  head.writeDoubleLE(piece.number ?? -1, 20)
  names.copy(head, HEAD_BYTES)
  const view = new DataView(head.buffer, head.byteOffset + HEAD_BYTES + names.length, count * EVENT_BYTES)
  for (let i = 0; i < count; i++) {
    view.setUint32(i * 4, piece.ends[i] ?? 0, true)
    view.setUint16(count * 4 + i * 2, rows[i] ?? 0, true)
    view.setFloat64(count * 6 + i * 8, piece.times[i] ?? 0, true)
    view.setFloat64(count * 14 + i * 8, piece.seqs[i] ?? 0, true)
  }
  const first = piece.seqs[0] ?? piece.firstSeq
  return { parts: [head, piece.bytes], count, first, last: piece.seqs[count - 1] ?? first }
}

/** Why a frame has no usable piece, as a sentence. */
export interface NoPiece {
  readonly why: string
  /** Its events are intact: an exporter of another encoding, or another release, can send them. */
  readonly foreign: boolean
}

type Payload = Pick<ReadFrame, 'payload' | 'count' | 'epoch'>

/** The piece in a frame, if it has the exporter's encoding; `bytes` is a view of the payload. */
export function pieceOf(frame: Payload, encoding: Encoding): Described | NoPiece {
  const { payload, count, epoch } = frame
  if (payload.length < HEAD_BYTES) return broken(`expected a piece of events, got ${payload.length} bytes`)
  const version = payload.readUInt8(0)
  if (version !== VERSION)
    return foreign(`expected events of version ${VERSION}, got version ${version}: written by another release`)
  const nameEnd = HEAD_BYTES + payload.readUInt8(1)
  const name = payload.toString('utf8', HEAD_BYTES, nameEnd)
  if (name !== encoding)
    return foreign(
      `expected events encoded as ${encoding}, got ${JSON.stringify(name)}: the exporter's format was changed`,
    )
  const table = readAbouts(payload, nameEnd, payload.readUInt16LE(2))
  if ('why' in table) return table
  const size = payload.readUInt32LE(8)
  if (payload.readUInt32LE(4) !== count || payload.length !== table.end + count * EVENT_BYTES + size) {
    return broken(
      `expected ${count} events in ${payload.length} bytes, got a header with ${payload.readUInt32LE(4)} in ${size}`,
    )
  }
  const ends = new Uint32Array(count)
  const abouts: About[] = []
  const times = new Float64Array(count)
  const seqs = new Float64Array(count)
  let before = 0
  for (let i = 0; i < count; i++) {
    const about = table.abouts[payload.readUInt16LE(table.end + count * 4 + i * 2)]
    const end = payload.readUInt32LE(table.end + i * 4)
    if (about === undefined || end < before) return broken(`event ${i} of ${count} lies outside of its piece`)
    before = end
    ends[i] = end
    abouts.push(about)
    times[i] = payload.readDoubleLE(table.end + count * 6 + i * 8)
    seqs[i] = payload.readDoubleLE(table.end + count * 14 + i * 8)
  }
  if (before !== size) return broken(`expected the last event to end at ${size}, got ${before}`)
  const bytes = payload.subarray(payload.length - size)
  const firstSeq = payload.readDoubleLE(12)
  const number = payload.readDoubleLE(20)
  const piece = { encoding, bytes, ends, count, firstSeq, abouts, times, seqs, epoch, memory: new Memory(payload, 1) }
  return number < 0 ? piece : { ...piece, number }
}

export function anyPieceOf(frame: Payload): Described | NoPiece {
  const { payload } = frame
  const name =
    payload.length < HEAD_BYTES ? '' : payload.toString('utf8', HEAD_BYTES, HEAD_BYTES + payload.readUInt8(1))
  return pieceOf(frame, isKey(ENCODINGS, name) ? name : 'json')
}

function readAbouts(payload: Buffer, from: number, count: number): { abouts: readonly About[]; end: number } | NoPiece {
  const abouts: About[] = []
  let at = from
  const text = (lengthBytes: 1 | 2): string | undefined => {
    if (at + lengthBytes > payload.length) return undefined
    const end = at + lengthBytes + payload.readUIntLE(at, lengthBytes)
    if (end > payload.length) return undefined
    const found = payload.toString('utf8', at + lengthBytes, end)
    at = end
    return found
  }
  for (let i = 0; i < count; i++) {
    const type = text(1)
    const policy = text(2)
    if (type === undefined || policy === undefined) return broken(`about ${i} of ${count} lies outside of its piece`)
    if (!isKey(TYPES, type))
      return foreign(`expected a type of event, got ${JSON.stringify(type)}: written by another release`)
    if (!isAgents(type)) {
      abouts.push({ type, policy })
      continue
    }
    const details = text(2)
    if (details === undefined) return broken(`about ${i} of ${count} lies outside of its piece`)
    const parsed = parseDetails(details)
    if (parsed === undefined) {
      const got = details.slice(0, 100)
      return foreign(`expected a record about the agent, got ${JSON.stringify(got)}: written by another release`)
    }
    abouts.push({ type, policy, ...parsed })
  }
  return { abouts, end: at }
}

/** Contents of a record about the agent; undefined for anything else. */
function parseDetails(text: string): Pick<About, 'loss' | 'run' | 'change'> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (isLoss(value)) return { loss: value }
    return isRun(value) ? { run: value } : isChange(value) ? { change: value } : undefined
  } catch {
    return undefined
  }
}

function isLoss(value: unknown): value is LossAbout {
  if (!isObject(value) || !isKey(STAGES, value['stage'])) return false
  const { exporter, reason, count, numbers } = value
  if (typeof exporter !== 'string' || typeof reason !== 'string' || typeof count !== 'number') return false
  return (
    numbers === undefined ||
    (isObject(numbers) && typeof numbers['first'] === 'number' && typeof numbers['last'] === 'number')
  )
}

function isRun(value: unknown): value is RunAbout {
  if (!isObject(value) || !isKey(PHASES, value['phase'])) return false
  const { heartbeatMs, previous, filtered = [], moved = {}, from = '', until = '' } = value
  return (
    typeof from === 'string' &&
    typeof until === 'string' &&
    Array.isArray(filtered) &&
    isObject(moved) &&
    Object.values(moved).every((number) => typeof number === 'number') &&
    typeof heartbeatMs === 'number' &&
    isObject(previous) &&
    Object.values(previous).every((run) => typeof run === 'string')
  )
}

function isChange(value: unknown): value is Change {
  if (!isObject(value) || !isKey(CHANGES, value['what'])) return false
  const { by, names, count, mode = 'monitor', modeBefore = 'monitor' } = value
  return (
    typeof by === 'string' &&
    Array.isArray(names) &&
    names.every((name) => typeof name === 'string') &&
    typeof count === 'number' &&
    typeof mode === 'string' &&
    typeof modeBefore === 'string'
  )
}

/** Whether records of the type are about the agent; their abouts then have more data. */
function isAgents(type: About['type']): boolean {
  return type === 'events_lost' || type === 'agent_run' || type === 'agent_change'
}

function broken(why: string): NoPiece {
  return { why, foreign: false }
}

function foreign(why: string): NoPiece {
  return { why, foreign: true }
}

function isKey<Table extends object>(table: Table, key: unknown): key is keyof Table {
  return typeof key === 'string' && Object.hasOwn(table, key)
}

function textOf(text: string, lengthBytes: 1 | 2): Buffer {
  const bytes = Buffer.from(text)
  const out = Buffer.allocUnsafe(lengthBytes + bytes.length)
  out.writeUIntLE(bytes.length, 0, lengthBytes)
  bytes.copy(out, lengthBytes)
  return out
}
