/**
 * Bytes that look like ring records, with anything in them, through decoding, normalizing and encoding. Nothing may throw, no event may have
 * bytes from outside of its chunk, and what comes out is JSON. The same seed gives the same bytes.
 */
import { decodeChunk } from '../../../collector/ingest/decode.ts'
import { Normalizer } from '../../../collector/ingest/normalize.ts'
import type { KnownHook } from '../../../collector/ingest/normalize.ts'
import { valueIndex } from '../../../collector/kernel/layout/hook.ts'
import * as wire from '../../../collector/kernel/wire.ts'
import { WallClock } from '../../../collector/process/clock.ts'
import type { ArgumentType } from '../../../config/policy/arguments.ts'
import { RETURN_TYPES, TYPES } from '../../../config/policy/arguments.ts'
import { createJsonEncoder } from '../../../exporters/index.ts'
import { makeHook } from '../../unit/exporters/support/events.ts'
import { OFFSET_NS, newTable } from '../../unit/collector/support/processes.ts'
import { Seeded } from '../spool/random.ts'

/** Longer than any record without texts; texts are cut by it. */
const CHUNK_BYTES = 1024
const HOOK_ID = 3
/** A table of processes that only grows would be a test of itself. */
const RUNS_PER_TABLE = 10_000
/** Of events, how many are encoded: it takes most of the time. */
const ENCODED = 1 / 8

const SHOWN = TYPES.filter(({ kind }) => kind !== 'none')
const encoder = createJsonEncoder({ nodeName: 'n' })
const random4 = (random: Seeded): number =>
  random.pick([0, 1, 2, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, random.int(64)]) ?? 0

/** What the kernel side gives for a type, or else an error. */
function kindOf({ kind, read }: ArgumentType): number {
  if (kind === 'file') return wire.VALUE_FILE
  if (kind === 'string') return wire.VALUE_STRING
  if (kind === 'bytes') return wire.VALUE_BYTES
  if (kind === 'struct') return read === 'object' ? wire.VALUE_OBJECT : wire.VALUE_SOCKET
  return read.startsWith('s') ? wire.VALUE_INT : wire.VALUE_UINT
}

interface State {
  readonly normalizer: Normalizer
  readonly args: KnownHook['args']
}

function freshState(): State {
  const args = SHOWN.map((type, i) => ({ index: valueIndex({ index: i % wire.PARAMS_MAX, type }), type }))
  const [returned] = RETURN_TYPES
  if (returned === undefined) throw new Error('no type of a return value')
  const known: KnownHook = { hook: makeHook({ id: HOOK_ID }), bySelector: [], args, returned }
  const normalizer = new Normalizer({
    table: newTable(),
    clock: new WallClock(() => OFFSET_NS),
    hook: (id) => (id === HOOK_ID ? known : undefined),
    nowMs: () => 0,
  })
  return { normalizer, args }
}

let state: State = freshState()

/** One chunk. Returns what came of it. */
export async function fuzzRecords(seed: number): Promise<{ events: number; malformed: number }> {
  if (seed % RUNS_PER_TABLE === 0) state = freshState()
  const random = new Seeded(seed)
  const bytes = Buffer.alloc(CHUNK_BYTES)
  const length = fill(bytes, random)
  let events = 0
  const malformed = decodeChunk({ bytes, length }, (raw, within) => {
    events++
    if (raw.op === 'return') return
    const event = state.normalizer.event(raw, within)
    if (raw.op === 'hook') {
      for (const { from, to } of raw.values.slice(0, raw.count)) {
        if (to > length) throw new Error(`a value from ${from} to ${to} of ${length} bytes`)
      }
    }
    if (event === undefined || !random.chance(ENCODED)) return
    JSON.parse(Buffer.from(encoder.encode([event]).bytes).toString())
  })
  if (events > length / wire.EVENT_HEADER.bytes) throw new Error(`${events} events in ${length} bytes`)
  return { events, malformed }
}

/** Records one behind the other, the last perhaps cut; returns the bytes in use. */
function fill(bytes: Buffer, random: Seeded): number {
  let at = 0
  for (let i = 1 + random.int(3); i > 0 && at + wire.EVENT_HEADER.bytes <= CHUNK_BYTES; i--) {
    const size = record(bytes, at, random)
    const given = random.chance(0.05) ? random4(random) : size
    bytes.writeUInt32LE(given >>> 0, at + wire.EVENT_HEADER.size)
    at += (size + 7) & ~7
  }
  const used = Math.min(at, CHUNK_BYTES)
  return random.chance(0.1) ? random.int(used + 1) & ~7 : used
}

/** Returns the bytes of a record. */
function record(bytes: Buffer, start: number, random: Seeded): number {
  const { EVENT_HEADER, VALUE } = wire
  const hook = random.chance(0.7)
  const count = random.int(wire.VALUES_MAX + 1)
  bytes[start + EVENT_HEADER.type] = hook ? wire.EVENT_HOOK : random.int(10)
  bytes[start + EVENT_HEADER.nargs] = random.chance(0.05) ? random.int(256) : count
  for (const member of [EVENT_HEADER.tgid, EVENT_HEADER.tid, EVENT_HEADER.startNs, EVENT_HEADER.timeNsec]) {
    bytes.writeUInt32LE(random4(random), start + member)
  }
  bytes.writeUInt32LE(random.chance(0.02) ? 7 : HOOK_ID, start + EVENT_HEADER.hookId)
  bytes.writeUInt16LE(random.int(16), start + EVENT_HEADER.flags)
  let at = start + EVENT_HEADER.bytes
  const put = (words: number): void => {
    for (let i = 0; i < words && at + 4 <= CHUNK_BYTES; i++, at += 4) bytes.writeUInt32LE(random4(random), at)
  }
  if (!hook) {
    put(random.int(60))
    return Math.min(at, CHUNK_BYTES) - start
  }
  for (let i = 0; i < count && at + VALUE.bytes <= CHUNK_BYTES; i++) {
    const words = random.int(30)
    bytes.writeUInt32LE(random.chance(0.1) ? random4(random) : 4 * words, at + VALUE.len)
    const arg = random.pick(state.args)
    const known = arg !== undefined && random.chance(0.9)
    bytes[at + VALUE.index] = known ? arg.index : wire.RETURN_INDEX
    bytes[at + VALUE.kind] = random.chance(0.1) ? wire.VALUE_ERROR : known ? kindOf(arg.type) : wire.VALUE_INT
    bytes.writeUInt16LE(random.int(16), at + VALUE.flags)
    at += VALUE.bytes
    put(words)
    at = (at + 7) & ~7
  }
  return Math.min(at, CHUNK_BYTES) - start
}
