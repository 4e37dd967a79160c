import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { About, Described } from '../../../../../exporters/contract/described.ts'
import { frameOf, pieceOf } from '../../../../../exporters/buffer/disk/format/payload.ts'

const about = fc
  .tuple(
    fc.constantFrom('process_exec', 'process_exit', 'process_kprobe'),
    fc.oneof(fc.constant(''), fc.string({ unit: 'grapheme', maxLength: 20 })),
  )
  .map(([type, policy]): About => ({ type, policy }))
const lossAbout = fc
  .record({
    stage: fc.constantFrom('kernel', 'exporter'),
    exporter: fc.string({ unit: 'grapheme' }),
    reason: fc.string(),
    count: fc.nat(),
  })
  .map((loss): About => ({ type: 'events_lost', policy: '', loss: { ...loss } }))
const changeAbout = fc
  .record({ by: fc.string(), names: fc.array(fc.string()), count: fc.nat() })
  .map((change): About => ({ type: 'agent_change', policy: '', change: { what: 'config_changed', ...change } }))
const names = fc.array(fc.constantFrom('a', 'b'))
const runAbout = fc
  .record({ filtered: names, moved: fc.dictionary(fc.constantFrom('a', 'b'), fc.nat(), { noNullPrototype: true }) })
  .map((more): About => ({
    type: 'agent_run',
    policy: '',
    run: { phase: 'start', heartbeatMs: 1, previous: {}, ...more },
  }))
const event = fc.record({
  about: fc.oneof(
    { arbitrary: about, weight: 4 },
    { arbitrary: lossAbout, weight: 1 },
    { arbitrary: changeAbout, weight: 1 },
    { arbitrary: runAbout, weight: 1 },
  ),
  time: fc.double({ noNaN: true }),
  seq: fc.nat(),
  bytes: fc.uint8Array({ maxLength: 30 }),
})

function pieceFrom(events: readonly { about: About; time: number; seq: number; bytes: Uint8Array }[]): Described {
  let end = 0
  return {
    encoding: 'json',
    bytes: Buffer.concat(events.map(({ bytes }) => bytes)),
    ends: Uint32Array.from(events, ({ bytes }) => (end += bytes.length)),
    count: events.length,
    firstSeq: events[0]?.seq ?? 7,
    abouts: events.map((one) => one.about),
    times: Float64Array.from(events, ({ time }) => time),
    seqs: Float64Array.from(events, ({ seq }) => seq),
  }
}

/** The run that wrote the frames, from the segment's header. */
const epoch = 'e0'

function framed(piece: Described): { payload: Buffer; count: number; epoch: string } {
  const { parts, count } = frameOf(piece)
  return { payload: Buffer.concat(parts), count, epoch }
}

test('payload: a payload reads back unchanged, with the run of its numbers', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 20 }), (events) => {
      const piece = pieceFrom(events)
      const back = pieceOf(framed(piece), 'json')
      assert.ok(!('why' in back), JSON.stringify(back))
      const { memory: _memory, ...rest } = back
      assert.deepEqual({ ...rest, bytes: Buffer.from(back.bytes) }, { ...piece, epoch })
    }),
  )
})

test('payload: bytes are not copied in either direction, and events that share an about still share it', () => {
  const one = { about: { type: 'process_exec', policy: 'p' } as const, time: 1, seq: 5, bytes: Buffer.from('ab') }
  const piece = pieceFrom([one, { ...one }])
  const frame = frameOf(piece)
  assert.equal(frame.parts[1], piece.bytes)
  assert.deepEqual([frame.first, frame.last, frame.count], [5, 5, 2])
  const { payload, count } = framed(piece)
  const back = pieceOf({ payload, count, epoch }, 'json')
  assert.ok(!('why' in back))
  assert.equal(back.bytes.buffer, payload.buffer)
  assert.equal(back.abouts[0], back.abouts[1])
})

test('payload: no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(5), (bytes, count) => {
      pieceOf({ payload: Buffer.from(bytes), count, epoch }, 'json')
    }),
  )
})

test('payload: a changed payload is a valid one or an error message, and never throws', () => {
  const whole = framed(
    pieceFrom([{ about: { type: 'process_exec', policy: 'p' }, time: 1, seq: 5, bytes: Buffer.from('abc') }]),
  )
  fc.assert(
    fc.property(fc.nat(whole.payload.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const payload = Buffer.from(whole.payload)
      payload[at] = (payload[at] ?? 0) ^ mask
      const back = pieceOf({ payload, count: 1, epoch }, 'json')
      if (!('why' in back)) assert.equal(back.ends.at(-1), back.bytes.length)
    }),
  )
})

const lost = framed(
  pieceFrom([
    {
      about: { type: 'events_lost', policy: '', loss: { stage: 'exporter', exporter: 'x', reason: 'y', count: 1 } },
      time: 1,
      seq: 5,
      bytes: Buffer.from('abc'),
    },
  ]),
)
const good = framed(
  pieceFrom([{ about: { type: 'process_exit', policy: '' }, time: 1, seq: 5, bytes: Buffer.from('abc') }]),
)
const edited = (change: (payload: Buffer) => void): Buffer => {
  const payload = Buffer.from(good.payload)
  change(payload)
  return payload
}

/** The payload with a text of the same length instead of the first `from`. */
const replaced = (payload: Buffer, from: string, to: string): Buffer => {
  const copy = Buffer.from(payload)
  copy.write(to, copy.indexOf(from))
  return copy
}

for (const { name, payload, count = 1, encoding = 'json', want } of [
  { name: 'too short', payload: Buffer.alloc(3), want: /^expected a piece of events, got 3 bytes$/ },
  {
    name: 'another version',
    payload: edited((bytes) => bytes.writeUInt8(3, 0)),
    want: /got version 3: written by another release$/,
  },
  {
    name: 'another encoding',
    payload: good.payload,
    encoding: 'compact',
    want: /encoded as compact, got "json": the exporter's format/,
  },
  {
    name: 'another count',
    payload: good.payload,
    count: 2,
    want: /^expected 2 events in \d+ bytes, got a header with 1/,
  },
  { name: 'cut', payload: good.payload.subarray(0, -1), want: /^expected 1 events in/ },
  {
    name: 'an unknown type',
    payload: edited((bytes) => bytes.write('q', 33)),
    want: /^expected a type of event, got "qrocess_exit"/,
  },
  {
    name: 'an unknown stage',
    payload: replaced(lost.payload, '"exporter"', '"qxporter"'),
    want: /^expected a record about the agent, got .*qxporter.*: written by another release$/,
  },
  { name: 'a loss that is cut', payload: lost.payload.subarray(0, 60), want: /^about 0 of 1 lies outside/ },
  {
    name: 'an about too many',
    payload: edited((bytes) => bytes.writeUInt16LE(9, 2)),
    want: /^(about|expected a type)/,
  },
  {
    name: 'an end outside',
    payload: edited((bytes) => bytes.writeUInt32LE(2, 28 + 4 + 1 + 12 + 2)),
    want: /^expected the last event to end at 3, got 2$/,
  },
] as const) {
  test(`payload: refused with a message: ${name}`, () => {
    const back = pieceOf({ payload, count, epoch }, encoding)
    assert.ok('why' in back)
    assert.match(back.why, want)
    assert.equal(back.foreign, /another release|format was changed/.test(back.why))
  })
}
