import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { encodeCursor, encodeHeader } from '../../../../../exporters/buffer/disk/format/format.ts'
import { copy, list, repair, verify } from '../../../../../exporters/buffer/disk/inspect/inspect.ts'
import type { Verdict } from '../../../../../exporters/buffer/disk/inspect/inspect.ts'
import type { RecoveryReport } from '../../../../../exporters/buffer/disk/recovery.ts'
import { numbers } from '../../support/lines.ts'
import { Bench, closed, DIR, drain, fill, unreadable } from './support.ts'

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
    name: 'a file whose number has more digits than its segment is none of the spool',
    damage: (bench) => bench.disk.put(`${DIR}/000000001.seg`, Buffer.from(bench.disk.bytesOf(seg(1)))),
    read: numbers(0, 12),
    corrupt: 0,
    report: none,
  },
  {
    name: 'bytes after the last frame are a torn write',
    damage: (bench) => bench.edit(seg(4), (whole) => Buffer.concat([whole, Buffer.alloc(50, 7)])),
    read: numbers(0, 12),
    corrupt: 0,
    report: { tornBytes: 50 },
  },
  {
    name: 'a last frame cut short after a clean close is counted as lost, not only as torn',
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
    name: 'the last segment quarantined: the cursor shows how much was durable',
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
    report: { quarantined: ['00000009.seg: its header is of segment 1'] },
  },
  {
    name: 'a segment torn at its creation',
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
    name: 'a file of another program',
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
    name: 'a cursor with a wrong file offset but the right position',
    damage: (bench) => bench.disk.put(`${DIR}/cursor`, encodeCursor({ seq: 4, segment: 3, offset: 999, durable: 12 })),
    read: numbers(4, 12),
    corrupt: 0,
  },
  {
    name: 'a cursor after the end: all is acked',
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

test('spool recovery: adjacent damage is counted once', async () => {
  const bench = await written()
  const apart = flip(176 + 60)
  bench.edit(seg(1), (whole) => flip(176 + 2 * 136 + 60)(apart(whole)))
  bench.edit(seg(3), (whole) => flip(176 + 136 + 60)(flip(176 + 60)(whole)))
  const spool = await bench.open()
  assert.deepEqual(await drain(spool), [1, 3, 4, 5, 8, 9, 10, 11])
  const { lost, corruptFrames } = spool.stats()
  assert.deepEqual([lost.corrupt, corruptFrames], [4, 3])
})

test('spool recovery: a forged frame inside an event is not found if the frame around it is damaged', async () => {
  const bench = new Bench()
  const spool = await bench.open({ segment_size: 4000 })
  await fill(spool, [0, 1])
  await spool.close()
  // Frame 1 as written, but with the checksum of an attacker who does not have the salt.
  const other = new Bench()
  const forged = await other.open({ segment_size: 4000 })
  await fill(forged, [0, 1])
  const planted = Buffer.from(bench.disk.bytesOf(seg(1)).subarray(176 + 136))
  planted.writeUInt32LE(planted.readUInt32LE(4) ^ 0x55, 4)
  bench.edit(seg(1), (whole) => Buffer.concat([whole.subarray(0, 176 + 136), planted]))
  const again = await bench.open()
  assert.deepEqual(await drain(again), [0])
})

test('spool inspect: list counts by the headers of the last segment only, and reports unreadable files', async () => {
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

test('spool inspect: verify finds each damaged frame, while an agent runs, and changes nothing', async () => {
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

test('spool inspect: copy returns the frames of a range, and stops if the callback rejects', async () => {
  const bench = await written()
  const seqs: number[] = []
  const events = await copy(DIR, bench.disk.files, { from: 2, to: 8 }, async ({ seq }) => void seqs.push(seq))
  assert.deepEqual([events, seqs], [6, numbers(2, 8)])
  await assert.rejects(
    copy(DIR, bench.disk.files, { from: 0, to: 12 }, () => Promise.reject(new Error('no more'))),
    { message: 'no more' },
  )
})

test('spool inspect: repair cuts and quarantines, but not while an agent runs', async () => {
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

test('recovery: a segment replaced by a later one is not read again', async () => {
  const bench = await written()
  const base = 9
  const header = { number: 5, createdMs: 0, base, salt: 5, firstMark: base, previousMark: 0, epoch: 'e' }
  // Its frames written again after a failed sync did not reach the disk.
  bench.disk.put(seg(5), Buffer.concat([encodeHeader(header), Buffer.alloc(100)]))
  const spool = await bench.open()
  assert.equal(spool.recovery.spent, 2)
  assert.deepEqual(await drain(spool), numbers(0, base))
  assert.deepEqual(bench.segments(), [seg(1), seg(2), seg(3)])
  bench.disk.restart(false)
  assert.deepEqual(bench.segments(), [seg(1), seg(2), seg(3)])
})

const isSegment = (path: string): boolean => path.endsWith('.seg')
const isCursor = (path: string): boolean => path.endsWith('/cursor')

for (const { name, code, which, repairable } of [
  {
    name: 'no file of it may be read',
    code: 'EACCES',
    which: (path: string) => isSegment(path) || isCursor(path),
    repairable: /let the user of the agent/,
  },
  {
    name: 'its segments may not be read',
    code: 'EPERM',
    which: isSegment,
    repairable: /let the user of the agent/,
  },
  {
    name: 'its cursor may not be read',
    code: 'EACCES',
    which: isCursor,
    repairable: /let the user of the agent/,
  },
  {
    name: 'one segment may not be read',
    code: 'EACCES',
    which: (path: string) => path === seg(3),
    repairable: /let the user/,
  },
  {
    name: 'no descriptors are left',
    code: 'EMFILE',
    which: isSegment,
    repairable: /raise the limit of open files/,
  },
  {
    name: 'no descriptors are left in the whole system',
    code: 'ENFILE',
    which: isCursor,
    repairable: /raise the limit of open files/,
  },
  { name: 'there is no memory', code: 'ENOMEM', which: isSegment, repairable: /free some memory/ },
  {
    name: 'nothing may be written',
    code: 'EROFS',
    which: (_: string, how: string) => how !== 'read',
    repairable: /mount its file system/,
  },
]) {
  test(`spool recovery: a start that cannot read the events reports it and does not touch them: ${name}`, async () => {
    const bench = await written()
    const before = bench.content()
    bench.through = closed(code, which)
    await assert.rejects(bench.open(), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.match(error.message, new RegExp(`^cannot use the spool "/spool": ${code}: .*; no event in it is lost: `))
      assert.match(error.message, repairable)
      return true
    })
    assert.deepEqual(bench.content(), before)
    bench.through = (files) => files
    assert.deepEqual(await drain(await bench.open()), numbers(0, 12))
  })
}

const versions =
  (...copies: readonly number[]) =>
  (whole: Buffer) => {
    for (const [i, version] of copies.entries()) whole.writeUInt32LE(version, 4 + i * 88)
    return whole
  }

test('spool recovery: files of another version are reported and not touched, in any state of the cursor', async () => {
  const bench = await written()
  bench.edit(seg(3), versions(2, 2))
  bench.edit(`${DIR}/cursor`, flip(1))
  bench.disk.put(`${DIR}/cursor.tmp`, Buffer.alloc(3))
  const before = bench.content()
  for (const use of [() => bench.open(), () => repair(DIR, bench.disk.files, 5)]) {
    await assert.rejects(use(), {
      name: 'ExportError',
      code: 'UNUSABLE',
      message:
        'cannot use the spool "/spool": 00000003.seg was written by another version of ktrail, in format 2; the spool is ' +
        'unchanged: start that version again, or give this exporter another folder',
    })
    assert.deepEqual(bench.content(), before)
  }
  assert.deepEqual((await list(DIR, bench.disk.files)).unreadable, [
    '00000003.seg: written by another version of ktrail, in format 2',
  ])
})

test('spool recovery: a damaged version number is damage', async () => {
  const bench = await written()
  bench.edit(seg(1), versions(2))
  bench.edit(seg(2), versions(2, 3))
  const spool = await bench.open()
  assert.deepEqual(spool.recovery.quarantined, ['00000002.seg: both copies of the header are damaged'])
  assert.deepEqual(await drain(spool), [0, 1, 2, ...numbers(6, 12)])
})

for (const { name, through } of [
  { name: 'its header', through: unreadable(seg(4), 0) },
  { name: 'all after its header', through: unreadable(seg(4), 176) },
  { name: 'it', through: closed('EIO', (path) => path === seg(4)) },
]) {
  test(`spool recovery: a segment of which the device cannot read ${name} is counted and kept`, async () => {
    const bench = await written()
    const bytes = Buffer.from(bench.disk.bytesOf(seg(4)))
    bench.through = through
    const spool = await bench.open()
    assert.match(spool.recovery.quarantined.join('\n'), /^00000004\.seg: EIO: refused, open '[^\n]*$/)
    assert.deepEqual(await drain(spool), numbers(0, 9))
    assert.deepEqual([spool.stats().lost.corrupt, spool.stats().imbalance], [3, 0])
    const kept = bench.disk.paths.filter((path) => path.startsWith(`${DIR}/quarantine/`))
    assert.deepEqual(
      kept.map((path) => bench.disk.bytesOf(path)),
      [bytes],
    )
  })
}

test('spool recovery: only damaged files are deleted from the quarantine, the oldest beyond its bounds, and that is reported', async () => {
  const bench = await written()
  const room = (name: string): string => `${DIR}/quarantine/${name}`
  for (let i = 0; i < 40; i++) {
    bench.disk.put(room(`${1000 + i}-00000001.seg.damaged`), Buffer.alloc(1))
    bench.disk.put(room(`${2000 + i}-00000001.seg`), Buffer.alloc(1))
  }
  const spoil = (): void => bench.edit(seg(2), (whole) => flip(30)(flip(30 + 88)(whole)))
  spoil()
  const spool = await bench.open()
  const inRoom = (end: string): number =>
    bench.disk.paths.filter((path) => path.startsWith(room('')) && path.endsWith(end)).length
  assert.deepEqual([inRoom('.seg.damaged'), inRoom('.seg')], [32, 40])
  assert.deepEqual(
    spool.recovery.removed,
    numbers(1000, 1009)
      .map((ms) => `${ms}-00000001.seg.damaged`)
      .toReversed(),
  )
})

test('spool recovery: the quarantine is bounded in bytes too, but keeps the newest', async () => {
  const bench = await written()
  const huge = `${DIR}/quarantine/1-00000001.seg.damaged`
  bench.disk.put(huge, Buffer.alloc(1))
  bench.edit(seg(2), (whole) => flip(30)(flip(30 + 88)(whole)))
  bench.through = (files) => ({
    ...files,
    stat: async (path) => ({ ...(await files.stat(path)), size: 600 << 20 }),
  })
  const spool = await bench.open()
  assert.deepEqual(spool.recovery.removed, ['1-00000001.seg.damaged'])
  assert.ok(bench.disk.paths.some((path) => path.endsWith('-00000002.seg.damaged')))
})

test('spool recovery: a file whose number no segment can follow is none of the spool', async () => {
  const bench = await written()
  for (const name of ['4294967295.seg', '9999999999.seg']) bench.disk.put(`${DIR}/${name}`, Buffer.alloc(0))
  const spool = await bench.open()
  await fill(spool, [12])
  assert.deepEqual(await drain(spool), numbers(0, 13))
})

test('spool: events that cannot be read while it runs are never dropped', async () => {
  const bench = await written()
  let open = true
  bench.through = (files) => closed('EACCES', (path) => !open && path === seg(2))(files)
  const spool = await bench.open()
  open = false
  const read = async (): Promise<string> => (await spool.next(1)).status
  assert.deepEqual(await Promise.all([read(), read(), read()]), ['frames', 'frames', 'frames'])
  for (let i = 0; i < 10; i++) assert.equal(await read(), 'failed')
  open = true
  assert.deepEqual(await drain(spool), numbers(3, 12))
  assert.equal(spool.stats().lost.corrupt, 0)
})
