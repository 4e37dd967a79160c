/** Ring bytes → raw events, and the handling of bytes that are not records. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeChunk } from '../../../../collector/wire/decode.ts'
import type { RawEvent } from '../../../../collector/wire/decode.ts'
import * as wire from '../../../../collector/wire/wire.ts'
import { recordBytes, hasText } from '../support/records.ts'
import type { RecordSpec, ValueSpec } from '../support/records.ts'

const u32 = fc.nat(0xffff_ffff)
const bytes = (maxLength: number, minLength = 0): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array))
/** Plain objects, as decode makes them. */
const plain = { noNullPrototype: true } as const
const start = fc.record({ lo: u32, hi: u32 }, plain)
const base = {
  cpu: fc.nat(0xffff),
  seq: fc.oneof(fc.nat(1000), fc.nat(2 ** 50)),
  sec: u32,
  nsec: fc.nat(999_999_999),
  tgid: u32,
  tid: u32,
  startLo: u32,
  startHi: u32,
}
const value: fc.Arbitrary<ValueSpec> = fc
  .record(
    {
      kind: fc.constantFrom(
        wire.VALUE_INT,
        wire.VALUE_UINT,
        wire.VALUE_STRING,
        wire.VALUE_BYTES,
        wire.VALUE_FILE,
        wire.VALUE_ERROR,
      ),
      index: fc.constantFrom(0, 1, 2, 3, 4, wire.RETURN_INDEX),
      flags: fc.nat(0xffff),
      lo: u32,
      hi: u32,
      mode: u32,
      dev: u32,
      text: bytes(40),
      details: fc
        .uint8Array({ minLength: wire.FILE_DETAILS.bytes, maxLength: wire.FILE_DETAILS.bytes })
        .map((b) => Buffer.from(b)),
    },
    plain,
  )
  .map((spec) => {
    const isFile = spec.kind === wire.VALUE_FILE
    const isText = hasText(spec.kind)
    const hasNumber =
      isFile || spec.kind === wire.VALUE_BYTES || spec.kind === wire.VALUE_INT || spec.kind === wire.VALUE_UINT
    return {
      ...spec,
      ...(isFile ? {} : { mode: 0, dev: 0 }),
      ...(hasNumber ? {} : { lo: 0, hi: 0 }),
      ...(isText ? {} : { text: Buffer.alloc(0) }),
      ...(isFile && (spec.flags & wire.VALUE_DETAILS) !== 0 ? {} : { details: Buffer.alloc(0) }),
    }
  })
const cgroups = { cgroup: bytes(70), cgroupState: fc.nat(0xffff) }
const record: fc.Arbitrary<RecordSpec> = fc.oneof(
  fc.record(
    { ...base, op: fc.constant('fork' as const), parentTgid: u32, parentStart: start, nspid: u32, ...cgroups },
    plain,
  ),
  fc.record({ ...base, op: fc.constant('move' as const), ...cgroups }, plain),
  fc.record(
    { ...base, op: fc.constant('cgroup' as const), id: fc.bigInt(0n, 2n ** 64n - 1n), gone: fc.boolean(), ...cgroups },
    plain,
  ),
  fc.record({ ...base, op: fc.constant('exit' as const), code: u32 }, plain),
  fc.record({ ...base, op: fc.constant('data' as const), of: u32, at: u32, bytes: bytes(70) }, plain),
  fc.record(
    {
      ...base,
      op: fc.constant('return' as const),
      callLo: u32,
      callHi: u32,
      returned: fc.oneof(fc.constant(undefined), start),
    },
    plain,
  ),
  fc.record(
    {
      ...base,
      op: fc.constant('exec' as const),
      parentTgid: u32,
      parentStart: start,
      euid: u32,
      auid: u32,
      flags: u32,
      nspid: u32,
      detail: bytes(wire.PROCESS_DETAIL.bytes, wire.PROCESS_DETAIL.bytes),
      filename: bytes(70),
      cwd: bytes(70),
      ...cgroups,
      path: bytes(70),
      fileIno: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fileLinks: u32,
      argv: bytes(200),
      argvTotal: u32,
      envTotal: u32,
      raised: fc.nat(0xffff),
    },
    plain,
  ),
  fc.record(
    {
      ...base,
      op: fc.constant('hook' as const),
      hookId: u32,
      selector: fc.nat(0xffff),
      flags: fc.nat(0xffff),
      uid: u32,
      values: fc.array(value, { maxLength: 6 }),
    },
    plain,
  ),
)

/** The result of decode, with texts copied out of the chunk so that they can be compared with the input. */
function decoded(chunk: Buffer, length = chunk.length): { events: RecordSpec[]; malformed: number } {
  const events: RecordSpec[] = []
  const malformed = decodeChunk({ bytes: chunk, length }, (event, whole) => events.push(copied(event, whole)))
  return { events, malformed }
}

function copied(event: RawEvent, whole: Buffer): RecordSpec {
  if (event.op === 'data') return { ...event, bytes: Buffer.from(event.bytes) }
  if (event.op === 'exec') {
    const { filename, cwd, cgroup, path, argv } = event
    const [f, d, g, p, a] = [filename, cwd, cgroup, path, argv].map((text) => Buffer.from(text))
    return { ...event, filename: f ?? filename, cwd: d ?? cwd, cgroup: g ?? cgroup, path: p ?? path, argv: a ?? argv }
  }
  if (event.op === 'fork' || event.op === 'move') return { ...event, cgroup: Buffer.from(event.cgroup) }
  if (event.op !== 'hook') return event
  const { op, cpu, seq, sec, nsec, tgid, tid, startLo, startHi, hookId, selector, flags, uid, count } = event
  const values = event.values.slice(0, count).map(({ from, to, details, ...rest }) => {
    return {
      ...rest,
      text: hasText(rest.kind) ? Buffer.from(whole.subarray(from, to)) : Buffer.alloc(0),
      details: Buffer.from(whole.subarray(details, details === 0 ? 0 : details + wire.FILE_DETAILS.bytes)),
    }
  })
  return { op, cpu, seq, sec, nsec, tgid, tid, startLo, startHi, hookId, selector, flags, uid, values }
}

test('decode: returns the written records, in order, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 20 }), fc.nat(64), (events, slack) => {
      const used = Buffer.concat(events.map(recordBytes))
      // Bytes of a shorter earlier chunk are still after its end.
      const chunk = Buffer.concat([used, Buffer.alloc(slack, 0x30)])
      assert.deepEqual(decoded(chunk, used.length), { events, malformed: 0 })
    }),
    { numRuns: 500 },
  )
})

test('decode: never throws and always ends, for any bytes', () => {
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 5 }),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 12 }),
      (events, changes) => {
        const chunk = Buffer.concat(events.map(recordBytes))
        for (const [at, byte] of changes) chunk[at % chunk.length] = byte
        const found = decoded(chunk)
        assert.ok(found.events.length + found.malformed <= chunk.length / wire.EVENT_HEADER.bytes + 1)
      },
    ),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(bytes(600), (chunk) => void decoded(Buffer.concat([chunk]))),
    { numRuns: 2000 },
  )
})

test('decode: no record extends into the next one', () => {
  fc.assert(
    fc.property(record, record, (first, second) => {
      const one = recordBytes(first)
      const chunk = Buffer.concat([one, recordBytes(second)])
      decodeChunk({ bytes: chunk, length: chunk.length }, (event) => {
        if (event.op === 'hook') {
          for (const { from, to } of event.values.slice(0, event.count))
            assert.ok(to <= chunk.length && (to <= from || from >= wire.EVENT_HEADER.bytes))
        }
      })
      assert.deepEqual(decoded(chunk).events, [first, second])
    }),
  )
})

const exit: RecordSpec = {
  op: 'exit',
  cpu: 1,
  seq: 2,
  sec: 3,
  nsec: 4,
  tgid: 5,
  tid: 6,
  startLo: 7,
  startHi: 8,
  code: 9,
}

function changed(change: (bytes: Buffer) => void, event: RecordSpec = exit): Buffer {
  const whole = recordBytes(event)
  change(whole)
  return whole
}

const BAD: ReadonlyArray<readonly [what: string, first: Buffer, events: number, malformed: number]> = [
  ['a size of 0 ends the chunk', changed((b) => b.writeUInt32LE(0, wire.EVENT_HEADER.size)), 0, 1],
  [
    'a size below the header ends the chunk',
    changed((b) => b.writeUInt32LE(wire.EVENT_HEADER.bytes - 1, wire.EVENT_HEADER.size)),
    0,
    1,
  ],
  ['a size beyond the chunk ends it', changed((b) => b.writeUInt32LE(4096, wire.EVENT_HEADER.size)), 0, 1],
  ['the largest size ends it', changed((b) => b.writeUInt32LE(0xffff_ffff, wire.EVENT_HEADER.size)), 0, 1],
  ['an unknown type is one record', changed((b) => void (b[wire.EVENT_HEADER.type] = 99)), 1, 1],
  ['type 0 is one record', changed((b) => void (b[wire.EVENT_HEADER.type] = 0)), 1, 1],
  [
    'an exit without its body',
    changed((b) => b.writeUInt32LE(wire.EVENT_HEADER.bytes + 4, wire.EVENT_HEADER.size)),
    1,
    1,
  ],
  ['an exec without its body', changed((b) => void (b[wire.EVENT_HEADER.type] = wire.EVENT_EXEC)), 1, 1],
  ['a fork without its body', changed((b) => void (b[wire.EVENT_HEADER.type] = wire.EVENT_FORK)), 1, 1],
  ['nothing wrong', recordBytes(exit), 2, 0],
]

for (const [what, first, events, malformed] of BAD) {
  test(`decode: ${what} (${events} of 2 read, ${malformed} malformed)`, () => {
    const found = decoded(Buffer.concat([first, recordBytes(exit)]))
    assert.deepEqual([found.events.length, found.malformed], [events, malformed])
  })
}

test('decode: exec texts longer than the record are cut at its end', () => {
  const exec: RecordSpec = {
    ...exit,
    op: 'exec',
    parentTgid: 1,
    parentStart: { lo: 0, hi: 0 },
    euid: 0,
    auid: 0,
    flags: 0,
    nspid: 0,
    detail: Buffer.alloc(wire.PROCESS_DETAIL.bytes),
    filename: Buffer.from('/bin/sh'),
    cwd: Buffer.from('/'),
    cgroup: Buffer.alloc(0),
    cgroupState: wire.CGROUP_WHOLE,
    path: Buffer.from('/usr/bin/dash'),
    fileIno: 7n,
    fileLinks: 1,
    argv: Buffer.from('sh\0'),
    argvTotal: 3,
    envTotal: 0,
    raised: 0,
  }
  const long = changed((b) => b.writeUInt16LE(0xffff, wire.EVENT_HEADER.bytes + wire.EXEC_BODY.filenameLen), exec)
  const size = long.readUInt32LE(wire.EVENT_HEADER.size)
  const [event] = decoded(Buffer.concat([long, recordBytes(exit)])).events
  assert.ok(event?.op === 'exec')
  assert.equal(event.filename.length, size - wire.EVENT_HEADER.bytes - wire.EXEC_BODY.bytes)
  assert.deepEqual([event.cwd.length, event.cgroup.length, event.path.length, event.argv.length], [0, 0, 0, 0])
})

test('decode: an empty chunk has no records', () => {
  assert.deepEqual(decoded(Buffer.alloc(0)), { events: [], malformed: 0 })
})
