/**
 * Encoders read a call from the bytes of its record; filters, live readers and events that wait have its values as objects. Both are one record
 * in each encoding. KTRAIL_RECORDS=1000000 compares a million random ones.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Normalizer } from '../../../../collector/ingest/normalize.ts'
import { decodeChunk } from '../../../../collector/wire/decode.ts'
import { valueIndex } from '../../../../collector/plan/layout/hook.ts'
import { WallClock } from '../../../../collector/process/clock.ts'
import * as wire from '../../../../collector/wire/wire.ts'
import { DEFAULT_RECORDS } from '../../../../config/agent/exporters/otlp-records.ts'
import { TYPES } from '../../../../config/policy/arguments.ts'
import type { ArgumentType } from '../../../../config/policy/arguments.ts'
import { changed } from '../../../../exporters/contract/event.ts'
import type { HookEvent } from '../../../../exporters/contract/event.ts'
import type { Encoder } from '../../../../exporters/contract/exporter.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import { createOtlpEncoder } from '../../../../exporters/encoding/otlp/encode.ts'
import { EventSizes } from '../../../../exporters/index.ts'
import { Line, NODE_NAME, chunksOf } from '../../../bench/support/replay.ts'
import { Seeded } from '../../../simulation/spool/random.ts'
import { synthesize } from '../../../support/recording/synthetic.ts'
import { makeHook } from '../../exporters/support/events.ts'
import { OFFSET_NS, newTable, scanned } from '../support/processes.ts'
import { hasText, recordBytes } from '../support/records.ts'
import type { ValueSpec } from '../support/records.ts'
import { typeOf } from '../support/specs.ts'

const RECORDS = Number(process.env['KTRAIL_RECORDS'] ?? 10_000)
const SHOWN = TYPES.filter(({ kind }) => kind !== 'none')
const RETURNS = ['int', 'uint32', 'long', 'size_t', 'string'].map(typeOf)
const TEXTS = ['', '/etc/shadow', '/a "b"\\c', '/tab\there', '/ü', '\xff/\xfe', '/run/watched/' + 'x'.repeat(90)]
const USERS = [0, 0, 0, 33, 1000]
const NUMBERS = [0, 1, 9, 10, 99_999, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
const json = createJsonEncoder({ nodeName: NODE_NAME })
const time = { sec: 1_795_520_000, nsec: 7 }
const ENCODERS: readonly Encoder[] = [
  json,
  createOtlpEncoder({ ...DEFAULT_RECORDS, arg_labels: true, epoch: '1', json, observed: () => time }),
]

/** Compares the event as it comes from its record with its copy that has objects only. */
function isEqual(event: HookEvent): void {
  const [shown, own] = [() => event, () => changed(event, {})].map((form) =>
    ENCODERS.map((encoder) => Buffer.from(encoder.encode([form()]).bytes).toString('latin1')),
  )
  assert.deepEqual(shown, own)
}

function valueOf(type: ArgumentType, index: number, random: Seeded): ValueSpec {
  const kinds: Partial<Record<ArgumentType['kind'], number>> = { file: wire.VALUE_FILE, string: wire.VALUE_STRING }
  const number = type.read.startsWith('s') ? wire.VALUE_INT : wire.VALUE_UINT
  const kind = random.chance(0.05)
    ? wire.VALUE_ERROR
    : type.kind === 'bytes'
      ? wire.VALUE_BYTES
      : (kinds[type.kind] ?? (type.kind === 'struct' && type.read !== 'object' ? wire.VALUE_FILE : number))
  const pick = (): number => random.pick(NUMBERS) ?? 0
  return {
    kind,
    index,
    flags: kind === wire.VALUE_ERROR ? random.int(3) : random.int(0x1_0000) & ~wire.VALUE_DETAILS,
    lo: pick(),
    hi: pick(),
    mode: random.int(0x1_0000),
    dev: pick(),
    text: hasText(kind)
      ? Buffer.from(random.pick(TEXTS) ?? '', random.chance(0.5) ? 'latin1' : 'utf8')
      : Buffer.alloc(0),
    details: Buffer.alloc(0),
  }
}

test(`call: ${RECORDS} random records are the same as objects`, () => {
  const random = new Seeded(32)
  const table = newTable()
  for (const pid of [100, 101]) table.addScanned(scanned(pid, 1, { binary: '/bin/sh', uid: 0 }))
  const hooks = Array.from({ length: 200 }, (_, id) => {
    const types = Array.from({ length: random.int(5) }, () => random.pick(SHOWN) ?? typeOf('int'))
    const args = types.map((type, i) => ({ index: valueIndex({ index: i, type }), type }))
    const labels = types.map((_each, i) => (random.chance(0.3) ? `label ${i}"` : ''))
    const type = random.pick(['process_kprobe', 'process_lsm', 'process_tracepoint'] as const) ?? 'process_kprobe'
    const hook = makeHook({ id, type, labels, tags: random.chance(0.5) ? [] : ['a', 'ü'] })
    return { hook, bySelector: [], args, returned: random.pick(RETURNS) ?? typeOf('int') }
  })
  const clock = new WallClock(() => OFFSET_NS)
  const normalizer = new Normalizer({ table, clock, hook: (id) => hooks[id], nowMs: () => 0 })
  for (let seq = 0; seq < RECORDS; seq++) {
    const hookId = random.int(hooks.length)
    const { args = [], returned = typeOf('int') } = hooks[hookId] ?? {}
    const values = args.flatMap(({ index, type }) => (random.chance(0.05) ? [] : [valueOf(type, index, random)]))
    if (random.chance(0.7)) values.push(valueOf(returned, wire.RETURN_INDEX, random))
    const tgid = 100 + random.int(3)
    const base = { cpu: 0, seq, sec: 1, nsec: seq, tgid, tid: tgid + random.int(2), startLo: 0, startHi: 0 }
    const uid = random.pick(USERS) ?? 0
    const flags = random.chance(0.9) ? 0 : wire.HOOK_RETURN_MISSED
    const bytes = recordBytes({ op: 'hook', ...base, hookId, selector: 0, flags, uid, values })
    decodeChunk({ bytes, length: bytes.length }, (raw, chunk) => {
      assert.ok(raw.op === 'hook')
      const event = normalizer.event(raw, chunk)
      assert.ok(event?.type === (hooks[hookId]?.hook.type ?? ''))
      const line = JSON.parse(Buffer.from(json.encode([event]).bytes).toString())
      assert.equal(line[event.type].process.uid, uid)
      isEqual(event)
    })
  }
})

test('call: calls that differ only in their paths share bytes, and each flipped bit is seen', () => {
  const random = new Seeded(33)
  const types = ['file', 'int', 'uint32'].map(typeOf)
  const [file = typeOf('file'), ...numbers] = types
  const table = newTable()
  table.addScanned(scanned(100, 1, { binary: '/bin/sh' }))
  const clock = new WallClock(() => OFFSET_NS)
  const returned = typeOf('int')
  let shared = 0
  for (let round = 0; round < 100; round++) {
    const action = random.pick(['post', 'override']) ?? 'post'
    const hook = makeHook({ functionName: 'security_file_permission', labels: ['', 'mask', 'other'] })
    const args = types.map((type, i) => ({ index: valueIndex({ index: i, type }), type }))
    const known = { hook, bySelector: [hook, { ...hook, action }], args, returned }
    const normalizer = new Normalizer({ table, clock, hook: () => known, nowMs: () => 0 })
    const number = (type: ArgumentType, i: number): ValueSpec => ({
      ...valueOf(type, valueIndex({ index: i, type }), random),
      kind: type.read.startsWith('s') ? wire.VALUE_INT : wire.VALUE_UINT,
      flags: 0,
    })
    const first = { ...valueOf(file, valueIndex({ index: 0, type: file }), random), kind: wire.VALUE_FILE, flags: 0 }
    const rest = [
      ...numbers.map((type, i) => number(type, i + 1)),
      { ...number(returned, 0), index: wire.RETURN_INDEX },
    ]
    const base = {
      cpu: 0,
      sec: 1,
      nsec: 1,
      tgid: 100,
      tid: 100,
      startLo: 0,
      startHi: 0,
      hookId: 1,
      selector: 0,
      flags: 0,
      uid: 0,
    }
    const seen = new Set<object>()
    for (let seq = 0; seq < 60; seq++) {
      const text = Buffer.from(random.pick(TEXTS) ?? '', 'latin1')
      const values = [{ ...first, text, lo: random.int(1000) }, ...rest]
      const bytes = recordBytes({ op: 'hook', ...base, seq, values })
      // Not of its size, which is no value.
      const at = 4 + random.int(bytes.length - 4)
      if (random.chance(0.7)) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.int(8)), at)
      decodeChunk({ bytes, length: bytes.length }, (raw, chunk) => {
        const event = raw.op === 'hook' ? normalizer.event(raw, chunk) : undefined
        if (event?.type !== 'process_kprobe') return
        const path = event.onlyPath?.()
        if (path !== undefined) shared += seen.has(path) ? 1 : seen.add(path) && 0
        isEqual(event)
      })
    }
  }
  assert.ok(shared > 1000, `${shared} calls shared bytes`)
})

test('call: a hook keeps the bytes of 32 combinations of numbers, and reads further calls value by value', () => {
  const type = typeOf('file')
  const known = { hook: makeHook(), bySelector: [], args: [{ index: 0, type }], returned: typeOf('int') }
  const clock = new WallClock(() => OFFSET_NS)
  const normalizer = new Normalizer({ table: newTable(), clock, hook: () => known, nowMs: () => 0 })
  const value = {
    ...valueOf(type, 0, new Seeded(1)),
    kind: wire.VALUE_FILE,
    flags: 0,
    text: Buffer.from('/etc/shadow'),
  }
  const base = { op: 'hook', cpu: 0, sec: 1, nsec: 2, tgid: 1, tid: 1, startLo: 0, startHi: 0, hookId: 3 } as const
  const paths: unknown[] = []
  for (let mode = 0; mode < 1000; mode++) {
    const bytes = recordBytes({ ...base, seq: mode, selector: 0, flags: 0, uid: 0, values: [{ ...value, mode }] })
    decodeChunk({ bytes, length: bytes.length }, (raw, chunk) => {
      const event = raw.op === 'hook' ? normalizer.event(raw, chunk) : undefined
      assert.ok(event?.type === 'process_kprobe')
      paths.push(event.onlyPath?.())
      isEqual(event)
    })
  }
  assert.equal(new Set(paths.slice(0, 32)).size, 32)
  assert.deepEqual(new Set(paths.slice(32)), new Set([undefined]))
})

test('call: the records of a busy host are the same as objects', () => {
  const recording = synthesize(2000)
  const line = new Line(recording)
  for (const chunk of chunksOf(recording)) {
    for (const event of line.take(chunk)) if (event.type === 'process_kprobe') isEqual(event)
  }
})

test('call: measuring an event reads its values, for use after its chunk is read again', () => {
  const table = newTable()
  const hook = {
    hook: makeHook(),
    bySelector: [],
    args: [{ index: 0, type: typeOf('string') }],
    returned: typeOf('int'),
  }
  const normalizer = new Normalizer({ table, clock: new WallClock(() => OFFSET_NS), hook: () => hook, nowMs: () => 0 })
  const base = { op: 'hook', cpu: 0, sec: 1, nsec: 2, tgid: 1, tid: 1, startLo: 0, startHi: 0, hookId: 3 } as const
  const recordOf = (seq: number, text: string): Buffer => {
    const value = { ...valueOf(typeOf('string'), 0, new Seeded(1)), kind: wire.VALUE_STRING, text: Buffer.from(text) }
    return recordBytes({ ...base, seq, selector: 0, flags: 0, uid: 0, values: [value] })
  }
  const bytes = recordOf(1, 'first')
  const made: HookEvent[] = []
  for (let i = 0; i < 2; i++) {
    decodeChunk({ bytes, length: bytes.length }, (raw, chunk) => {
      const event = raw.op === 'hook' ? normalizer.event(raw, chunk) : undefined
      if (event?.type === 'process_kprobe') made.push(event)
    })
  }
  const [kept, late] = made
  assert.ok(kept !== undefined && late !== undefined)
  new EventSizes().of(kept)
  recordOf(2, 'other').copy(bytes)
  assert.deepEqual(
    kept.args.map((each) => each.kind === 'string' && each.value),
    ['first'],
  )
  assert.match(Buffer.from(json.encode([kept]).bytes).toString(), /"first"/)
  // Never the values of another record.
  assert.throws(() => late.args, /cannot read the arguments of event 0: its chunk was read again/)
  assert.throws(() => json.encode([late]), /read them before/)
})
