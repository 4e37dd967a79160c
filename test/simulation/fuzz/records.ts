/**
 * Bytes that look like ring records, with any content, through decoding, normalizing, waiting for returns and counts, and encoding. Nothing may
 * throw, no event may have bytes from outside of its chunk, and the output is JSON. The same seed gives the same bytes.
 */
import { PendingAggregates } from '../../../collector/ingest/calls/aggregates.ts'
import { decodeChunk } from '../../../collector/wire/decode.ts'
import { Normalizer } from '../../../collector/ingest/normalize.ts'
import type { KnownHook } from '../../../collector/ingest/call.ts'
import { PendingReturns } from '../../../collector/ingest/returns.ts'
import type { Returned } from '../../../collector/ingest/return-filter.ts'
import type { Taken } from '../../../collector/kernel/actions/aggregates.ts'
import { valueIndex } from '../../../collector/plan/layout/hook.ts'
import * as wire from '../../../collector/wire/wire.ts'
import { ExecutedFacts } from '../../../collector/process/detail/executed.ts'
import { WallClock } from '../../../collector/process/clock.ts'
import { Details } from '../../../collector/process/detail/details.ts'
import type { ArgumentType } from '../../../config/policy/arguments.ts'
import { RETURN_TYPES, TYPES } from '../../../config/policy/arguments.ts'
import type { Encoder } from '../../../exporters/contract/exporter.ts'
import type { ProcessEvent } from '../../../exporters/contract/event.ts'
import { extendedLines } from '../../../exporters/encoding/enveloped.ts'
import { createCompactEncoder, createJsonEncoder } from '../../../exporters/index.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import { makeHook } from '../../unit/exporters/support/events.ts'
import { OFFSET_NS, newTable } from '../../unit/collector/support/processes.ts'
import { Seeded } from '../spool/random.ts'

/** Longer than any record without texts; texts are cut by it. */
export const CHUNK_BYTES = 1536
const HOOK_ID = 3
/** A hook with data of the task, details of files, and a filter on return values. */
const FULL_ID = 4
const COUNTING_ID = 5
const IDS: readonly number[] = [HOOK_ID, HOOK_ID, FULL_ID, FULL_ID, COUNTING_ID]
/** The table of processes is bounded, because a growing one would only test itself. */
const RUNS_PER_TABLE = 10_000
/** Share of the events that are encoded: encoding takes most of the time. */
const ENCODED = 1 / 8
const WINDOW_MS = 1000
/** A hook that is retired. */
const RETIRED_ID = 7
/** Few calls and stacks, so that waiting events collide. */
const WAITING_BYTES = 64 << 10

const DETAILS = {
  procfs: '/none',
  enable_process_cred: true,
  enable_process_ns: true,
  username_metadata: 'disabled',
} as const

const SHOWN = TYPES.filter(({ kind }) => kind !== 'none')
const lines = createJsonEncoder({ nodeName: 'n' })
const ENCODERS: readonly Encoder[] = [
  lines,
  lines,
  extendedLines(lines, () => true),
  createCompactEncoder({ nodeName: 'n', color: false, timestamps: true }),
]
const random4 = (random: Seeded): number =>
  random.pick([0, 1, 2, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, random.int(64)]) ?? 0

/** Kind of value that the kernel side sends for a type, unless it sends an error. */
function kindOf({ kind, read }: ArgumentType): number {
  if (kind === 'file') return wire.VALUE_FILE
  if (kind === 'string') return wire.VALUE_STRING
  if (kind === 'bytes') return wire.VALUE_BYTES
  if (kind === 'struct') return read === 'object' ? wire.VALUE_OBJECT : wire.VALUE_SOCKET
  return read.startsWith('s') ? wire.VALUE_INT : wire.VALUE_UINT
}

/** The test sets its time, and does the due work itself: timers never fire. */
class TurnedClock implements Clock {
  ms = 0

  nowMs(): number {
    return this.ms
  }

  wallMs(): number {
    return this.ms
  }

  after(): () => void {
    return () => {}
  }
}

interface State {
  readonly normalizer: Normalizer
  readonly args: KnownHook['args']
  readonly returns: PendingReturns
  readonly aggregates: PendingAggregates
  readonly clock: TurnedClock
  readonly returned: Returned
}

function freshState(): State {
  const args = SHOWN.map((type, i) => ({ index: valueIndex({ index: i % wire.PARAMS_MAX, type }), type }))
  // As `resolve` of data makes them.
  const data = SHOWN.map((type, i) => ({ index: args[i] === undefined ? 0 : args[i].index | ((i + 1) << 8), type }))
  const [type] = RETURN_TYPES
  if (type === undefined) throw new Error('no type of a return value')
  const known = { bySelector: [], args, returned: type }
  const hooks = new Map<number, KnownHook>([
    [HOOK_ID, { ...known, hook: makeHook({ id: HOOK_ID }) }],
    [
      FULL_ID,
      {
        ...known,
        hook: makeHook({ id: FULL_ID }),
        data,
        details: { named: (number) => (number === 1 ? '/a' : undefined), hashMaxBytes: 1 },
      },
    ],
    [COUNTING_ID, { ...known, hook: makeHook({ id: COUNTING_ID }) }],
  ])
  const clock = new TurnedClock()
  const normalizer = new Normalizer({
    table: newTable(undefined, { ancestors: true, details: Details.of(DETAILS) }),
    executed: new ExecutedFacts({
      enable_process_cred: true,
      enable_process_environment_variables: true,
      filter_environment_variables: [],
    }),
    clock: new WallClock(() => OFFSET_NS),
    hook: (id) => hooks.get(id),
    nowMs: () => clock.nowMs(),
    ancestors: ['base', 'kprobe'],
  })
  const aggregates = new PendingAggregates({
    take: ({ lo }): Taken => (lo === 0 ? 'unknown' : lo === 1 ? 'later' : { count: lo, bytes: 7, lastNs: 1n }),
    at: () => ({ sec: 1, nsec: 0 }),
    wake: () => {},
    clock,
    capacityBytes: WAITING_BYTES,
  })
  const returned = { type, passes: (value: { readonly kind: string }) => value.kind !== 'number' }
  return {
    normalizer,
    args: [...args, ...data],
    returns: new PendingReturns(WAITING_BYTES),
    aggregates,
    clock,
    returned,
  }
}

let state: State = freshState()
let runs = 0

/** One chunk. Returns the outcome. */
export async function fuzzRecords(seed: number): Promise<{ events: number; malformed: number; passed: number }> {
  const random = new Seeded(seed)
  const chunk = randomChunk(random)
  return checkRecords(chunk.bytes, chunk.length, random)
}

/** Records with random contents, in a chunk of which `length` bytes are used. */
export function randomChunk(random: Seeded): { readonly bytes: Buffer; readonly length: number } {
  const bytes = Buffer.alloc(CHUNK_BYTES)
  return { bytes, length: fill(bytes, random) }
}

/** Takes a chunk through all stages. `random` decides which events are encoded, and how. */
export function checkRecords(
  bytes: Buffer,
  length: number,
  random: Seeded,
): { events: number; malformed: number; passed: number } {
  if (++runs % RUNS_PER_TABLE === 0) state = freshState()
  const { normalizer, returns, aggregates, clock } = state
  const out: ProcessEvent[] = []
  let events = 0
  const malformed = decodeChunk({ bytes, length }, (raw, within) => {
    events++
    if (raw.op === 'return') return returns.end(raw, out)
    const event = normalizer.event(raw, within)
    if (event !== undefined && raw.op !== 'hook') out.push(event)
    if (event?.type === 'process_exit') aggregates.exited(raw.tgid, out)
    if (raw.op !== 'hook') return
    for (const { from, to, details } of raw.values.slice(0, raw.count)) {
      if (to > length) throw new Error(`a value from ${from} to ${to} of ${length} bytes`)
      if (details + wire.FILE_DETAILS.bytes > length && details !== 0) throw new Error(`details at ${details}`)
    }
    if (event?.type !== 'process_kprobe') return
    const counts = raw.hookId === COUNTING_ID && (raw.flags & wire.HOOK_AGGREGATES) !== 0
    if (counts) aggregates.add(raw, event, { windowMs: WINDOW_MS, bytes: true }, out)
    else returns.add(raw, event, raw.hookId === FULL_ID ? state.returned : { type: state.returned.type }, out)
  })
  if (events > length / wire.EVENT_HEADER.bytes) throw new Error(`${events} events in ${length} bytes`)
  clock.ms += random.int(WINDOW_MS / 4)
  aggregates.due(out)
  for (const event of out) {
    if (!random.chance(ENCODED)) continue
    const encoder = random.pick(ENCODERS) ?? lines
    const text = Buffer.from(encoder.encode([event]).bytes).toString()
    if (encoder.encoding === 'json') JSON.parse(text)
    else if (text.split('\n').length !== 2) throw new Error(`not one line: ${JSON.stringify(text)}`)
  }
  return { events, malformed, passed: out.length }
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
  const { EVENT_HEADER, FILE_DETAILS, VALUE } = wire
  const hook = random.chance(0.7)
  const count = random.int(wire.VALUES_MAX + 1)
  bytes[start + EVENT_HEADER.type] = hook ? wire.EVENT_HOOK : random.int(10)
  bytes[start + EVENT_HEADER.nargs] = random.chance(0.05) ? random.int(256) : count
  for (const member of [EVENT_HEADER.tgid, EVENT_HEADER.tid, EVENT_HEADER.startNs, EVENT_HEADER.timeNsec]) {
    bytes.writeUInt32LE(random4(random), start + member)
  }
  bytes.writeUInt32LE(random.chance(0.02) ? RETIRED_ID : (random.pick(IDS) ?? HOOK_ID), start + EVENT_HEADER.hookId)
  bytes.writeUInt16LE(random.int(64), start + EVENT_HEADER.flags)
  let at = start + EVENT_HEADER.bytes
  const put = (words: number): void => {
    for (let i = 0; i < words && at + 4 <= CHUNK_BYTES; i++, at += 4) bytes.writeUInt32LE(random4(random), at)
  }
  if (!hook) {
    put(random.int(random.chance(0.5) ? 60 : 120))
    return Math.min(at, CHUNK_BYTES) - start
  }
  for (let i = 0; i < count && at + VALUE.bytes <= CHUNK_BYTES; i++) {
    const words = random.int(30)
    bytes.writeUInt32LE(random.chance(0.1) ? random4(random) : 4 * words, at + VALUE.len)
    const arg = random.pick(state.args)
    const known = arg !== undefined && random.chance(0.9)
    bytes.writeUInt16LE(known ? arg.index >> 8 : 0, at + VALUE.places)
    const other = random.chance(0.5) ? wire.RETURN_INDEX : wire.AGGREGATE_INDEX
    bytes[at + VALUE.index] = known ? arg.index & 0xff : other
    const kind = random.chance(0.1) ? wire.VALUE_ERROR : known ? kindOf(arg.type) : wire.VALUE_INT
    bytes[at + VALUE.kind] = kind
    const detailed = kind === wire.VALUE_FILE && random.chance(0.5)
    bytes.writeUInt16LE(random.int(16) | (detailed ? wire.VALUE_DETAILS : 0), at + VALUE.flags)
    at += VALUE.bytes
    put(words)
    at = (at + 7) & ~7
    if (detailed) put(FILE_DETAILS.bytes / 4)
  }
  return Math.min(at, CHUNK_BYTES) - start
}
