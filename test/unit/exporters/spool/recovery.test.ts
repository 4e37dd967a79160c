import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCursor, encodeHeader } from '../../../../exporters/spool/format.ts'
import { copy, list, repair, verify } from '../../../../exporters/spool/inspect.ts'
import type { Verdict } from '../../../../exporters/spool/inspect.ts'
import type { RecoveryReport } from '../../../../exporters/spool/recovery.ts'
import { numbers } from '../support/lines.ts'
import { Bench, DIR, drain, fill } from './support.ts'

/** Frames 0…11, three a segment, four segments, closed; segment 1 begins at 176, each frame takes 136 bytes. */
async function written(): Promise<Bench> {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, numbers(0, 12))
  await spool.close()
  assert.equal(bench.segments().length, 4)
  return bench
}

const seg = (number: number): string => `${DIR}/0000000${number}.seg`
const cut = (bytes: number) => (whole: Buffer) => whole.subarray(0, whole.length - bytes)
const flip = (at: number) => (whole: Buffer) => {
  whole[at] = (whole[at] ?? 0) ^ 4
  return whole
}

interface Row {
  readonly name: string
  readonly damage: (bench: Bench) => void
  readonly read: readonly number[]
  readonly corrupt: number
  readonly report?: Partial<RecoveryReport>
}

const none = { tornBytes: 0, quarantined: [], cursor: 'read' } as const

const ROWS: readonly Row[] = [
  { name: 'nothing is wrong', damage: () => undefined, read: numbers(0, 12), corrupt: 0, report: none },
  {
    name: 'bytes behind the last frame are a torn tail',
    damage: (bench) => bench.edit(seg(4), (whole) => Buffer.concat([whole, Buffer.alloc(50, 7)])),
    read: numbers(0, 12),
    corrupt: 0,
    report: { tornBytes: 50 },
  },
  {
    name: 'a last frame cut short after a clean close is missed, not taken for torn only',
    damage: (bench) => bench.edit(seg(4), cut(1)),
    read: numbers(0, 11),
    corrupt: 1,
    report: { tornBytes: 135 },
  },
  {
    name: 'a flipped bit in a payload costs that frame',
    damage: (bench) => bench.edit(seg(2), flip(176 + 136 + 60)),
    read: [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11],
    corrupt: 1,
  },
  {
    name: 'a wrong length costs that frame, the next is found',
    damage: (bench) => bench.edit(seg(1), flip(176 + 1)),
    read: numbers(1, 12),
    corrupt: 1,
  },
  {
    name: 'damage in the middle of the last segment costs that frame',
    damage: (bench) => bench.edit(seg(4), flip(176 + 136 + 60)),
    read: [...numbers(0, 10), 11],
    corrupt: 1,
    report: { tornBytes: 0 },
  },
  {
    name: 'one damaged copy of a header costs nothing',
    damage: (bench) => bench.edit(seg(2), flip(30)),
    read: numbers(0, 12),
    corrupt: 0,
    report: none,
  },
  {
    name: 'both copies of a header damaged: quarantine, the rest is read',
    damage: (bench) => bench.edit(seg(2), (whole) => flip(30)(flip(30 + 88)(whole))),
    read: [0, 1, 2, ...numbers(6, 12)],
    corrupt: 3,
    report: { quarantined: ['00000002.seg: both copies of the header are damaged'] },
  },
  {
    name: 'the last segment quarantined: how much was durable is known from the cursor',
    damage: (bench) => bench.edit(seg(4), (whole) => flip(30)(flip(30 + 88)(whole))),
    read: numbers(0, 9),
    corrupt: 3,
  },
  {
    name: 'a missing segment in the middle',
    damage: (bench) => bench.disk.remove(seg(3)),
    read: [...numbers(0, 6), 9, 10, 11],
    corrupt: 3,
  },
  { name: 'a missing first segment', damage: (bench) => bench.disk.remove(seg(1)), read: numbers(3, 12), corrupt: 3 },
  {
    name: 'a segment under the wrong number',
    damage: (bench) => {
      bench.disk.put(`${DIR}/00000009.seg`, bench.disk.bytesOf(seg(1)))
    },
    read: numbers(0, 12),
    corrupt: 0,
    report: { quarantined: ['00000009.seg: the header says segment 1'] },
  },
  {
    name: 'a segment torn at birth',
    damage: (bench) => bench.disk.put(seg(5), Buffer.alloc(40)),
    read: numbers(0, 12),
    corrupt: 0,
    report: { tornBytes: 40 },
  },
  {
    name: 'an empty segment file',
    damage: (bench) => bench.disk.put(seg(5), Buffer.alloc(0)),
    read: numbers(0, 12),
    corrupt: 0,
    report: none,
  },
  {
    name: 'a stray cursor.tmp',
    damage: (bench) => bench.disk.put(`${DIR}/cursor.tmp`, Buffer.alloc(3)),
    read: numbers(0, 12),
    corrupt: 0,
    report: none,
  },
  {
    name: 'a file of somebody else',
    damage: (bench) => bench.disk.put(`${DIR}/notes.txt`, Buffer.alloc(3)),
    read: numbers(0, 12),
    corrupt: 0,
    report: none,
  },
  {
    name: 'a damaged cursor: from the oldest',
    damage: (bench) => bench.edit(`${DIR}/cursor`, flip(9)),
    read: numbers(0, 12),
    corrupt: 0,
    report: { cursor: 'corrupt' },
  },
  {
    name: 'an empty cursor: from the oldest',
    damage: (bench) => bench.disk.put(`${DIR}/cursor`, Buffer.alloc(0)),
    read: numbers(0, 12),
    corrupt: 0,
    report: { cursor: 'corrupt' },
  },
  {
    name: 'a cursor with a wrong place but the right position',
    damage: (bench) => bench.disk.put(`${DIR}/cursor`, encodeCursor({ seq: 4, segment: 3, offset: 999, durable: 12 })),
    read: numbers(4, 12),
    corrupt: 0,
  },
  {
    name: 'a cursor behind the end: all is acked',
    damage: (bench) => bench.disk.put(`${DIR}/cursor`, encodeCursor({ seq: 20, segment: 9, offset: 176, durable: 12 })),
    read: [],
    corrupt: 0,
    report: { segments: 0 },
  },
]

for (const { name, damage, read, corrupt, report } of ROWS) {
  test(`spool recovery: ${name}`, async () => {
    const bench = await written()
    damage(bench)
    const spool = await bench.open()
    assert.deepEqual({ ...spool.recovery, ...report }, spool.recovery)
    assert.deepEqual(await drain(spool), read)
    const { lost, events, imbalance } = spool.stats()
    assert.deepEqual({ lost: lost.corrupt, events, imbalance }, { lost: corrupt, events: 0, imbalance: 0 })
    assert.equal(
      bench.losses.reduce((sum, loss) => sum + loss.events, 0),
      corrupt,
    )
    await fill(spool, [50])
    assert.deepEqual(await drain(spool), [50])
  })
}

test('spool recovery: damage is counted by place, what lies together once', async () => {
  const bench = await written()
  const apart = flip(176 + 60)
  bench.edit(seg(1), (whole) => flip(176 + 2 * 136 + 60)(apart(whole)))
  bench.edit(seg(3), (whole) => flip(176 + 136 + 60)(flip(176 + 60)(whole)))
  const spool = await bench.open()
  assert.deepEqual(await drain(spool), [1, 3, 4, 5, 8, 9, 10, 11])
  const { lost, corruptFrames } = spool.stats()
  assert.deepEqual([lost.corrupt, corruptFrames], [4, 3])
})

test('spool recovery: a frame planted inside an event is not found when the one around it is damaged', async () => {
  const bench = new Bench()
  const spool = await bench.open({ segmentBytes: 4000 })
  await fill(spool, [0, 1])
  await spool.close()
  // Frame 1 as written, but with the checksum of an attacker who does not know the salt.
  const other = new Bench()
  const forged = await other.open({ segmentBytes: 4000 })
  await fill(forged, [0, 1])
  const planted = Buffer.from(bench.disk.bytesOf(seg(1)).subarray(176 + 136))
  planted.writeUInt32LE(planted.readUInt32LE(4) ^ 0x55, 4)
  bench.edit(seg(1), (whole) => Buffer.concat([whole.subarray(0, 176 + 136), planted]))
  const again = await bench.open()
  assert.deepEqual(await drain(again), [0])
})

test('spool inspect: list counts by the heads of the last segment only, and names what is unreadable', async () => {
  const bench = await written()
  bench.disk.put(seg(7), Buffer.alloc(300, 1))
  const listing = await list(DIR, bench.disk.files)
  assert.deepEqual(
    listing.segments.map(({ name, events, from }) => [name, events, from]),
    [
      ['00000001.seg', 3, 0],
      ['00000002.seg', 3, 3],
      ['00000003.seg', 3, 6],
      ['00000004.seg', 3, 9],
    ],
  )
  assert.deepEqual([listing.settled, listing.unreadable], [0, ['00000007.seg: both copies of the header are damaged']])
})

test('spool inspect: verify finds each damaged frame, beside a running agent, and changes nothing', async () => {
  const bench = await written()
  bench.edit(seg(2), flip(176 + 136 + 60))
  bench.edit(seg(4), (whole) => Buffer.concat([whole, Buffer.alloc(5)]))
  await using spool = await bench.open()
  const before = bench.disk.steps
  const found: Verdict[] = []
  for await (const verdict of verify(DIR, bench.disk.files)) found.push(verdict)
  assert.ok(bench.disk.steps > before)
  assert.deepEqual(
    found.map(({ goodEvents, missingEvents, badBytes }) => [goodEvents, missingEvents, badBytes]),
    [
      [3, 0, 0],
      [2, 1, 136],
      [3, 0, 0],
      [3, 0, 0],
    ],
  )
  assert.equal((await drain(spool)).length, 11)
})

test('spool inspect: copy gives the frames of a range, stops where the callback rejects', async () => {
  const bench = await written()
  const seqs: number[] = []
  const events = await copy(DIR, bench.disk.files, { from: 2, to: 8 }, async ({ seq }) => void seqs.push(seq))
  assert.deepEqual([events, seqs], [6, numbers(2, 8)])
  await assert.rejects(
    copy(DIR, bench.disk.files, { from: 0, to: 12 }, () => Promise.reject(new Error('no more'))),
    { message: 'no more' },
  )
})

test('spool inspect: repair cuts and quarantines, but not beside a running agent', async () => {
  const bench = await written()
  bench.edit(seg(4), (whole) => Buffer.concat([whole, Buffer.alloc(5)]))
  bench.edit(seg(2), (whole) => Buffer.concat([whole.subarray(0, 176), Buffer.alloc(100)]))
  const spool = await bench.open()
  await assert.rejects(repair(DIR, bench.disk.files, 5), { message: /process 1 is using it; stop that one first/ })
  await spool.close()
  bench.edit(seg(4), (whole) => Buffer.concat([whole, Buffer.alloc(5)]))
  const report = await repair(DIR, bench.disk.files, 5)
  assert.deepEqual([report.tornBytes, report.quarantined], [5, ['00000002.seg: no valid frame in it']])
  assert.ok(bench.disk.paths.includes(`${DIR}/quarantine/5-00000002.seg`))
})

test('recovery: a segment given up for a later one does not come back', async () => {
  const bench = await written()
  const base = 9
  const header = { number: 5, createdMs: 0, base, salt: 5, firstMark: base, previousMark: 0, epoch: 'e' }
  // What was written anew into it after a failed sync did not reach the disk.
  bench.disk.put(seg(5), Buffer.concat([encodeHeader(header), Buffer.alloc(100)]))
  const spool = await bench.open()
  assert.equal(spool.recovery.spent, 2)
  assert.deepEqual(await drain(spool), numbers(0, base))
  assert.deepEqual(bench.segments(), [seg(1), seg(2), seg(3)])
  bench.disk.restart(false)
  assert.deepEqual(bench.segments(), [seg(1), seg(2), seg(3)])
})
