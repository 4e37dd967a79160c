/** `ktrail spool verify` and `ktrail spool repair`. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { frameOf } from '../../../../exporters/buffer/disk/format/payload.ts'
import type { SpoolFrame } from '../../../../exporters/buffer/disk/format/segment.ts'
import { Host, tenEvents } from './support/spools.ts'

/** The position of the payload in a file's second frame: after the header, a whole frame, and a part of the next. */
const IN_SECOND_FRAME = 176 + 1296 + 400

/** Ten frames of ten events in five files. */
async function filled(): Promise<Host> {
  const host = new Host()
  await host.fill('bus', 10)
  return host
}

const flip =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    bytes[at] = (bytes[at] ?? 0) ^ 0x10
    return bytes
  }

interface Row {
  readonly name: string
  readonly spoil: (dir: string, host: Host) => void
  /** The output of verify, then of repair, then of verify again. */
  readonly verify: string
  readonly repair: string
  readonly after: string
}

const rows: readonly Row[] = [
  {
    name: 'nothing',
    spoil: () => undefined,
    verify: 'bus: no damage; 10 frames, 100 events in 5 files of 13.6 KiB\n',
    repair: 'bus: nothing to repair\nbus: 5 files, 13.6 KiB left\n',
    after: 'bus: no damage; 10 frames, 100 events in 5 files of 13.6 KiB\n',
  },
  {
    name: 'a flipped bit in the middle',
    spoil: (dir, host) => host.edit(`${dir}/00000002.seg`, flip(IN_SECOND_FRAME)),
    verify: `\
bus: 00000002.seg: 10 of 20 events missing, 1.3 KiB of incomplete frames
bus: damaged; readable: 9 frames, 90 events in 5 files of 13.6 KiB
`,
    repair: `\
bus: nothing to repair
bus: 00000002.seg: 10 events are lost to damage; the agent will count them as corrupt
bus: 5 files, 13.6 KiB left
`,
    after: `\
bus: 00000002.seg: 10 of 20 events missing, 1.3 KiB of incomplete frames
bus: damaged; readable: 9 frames, 90 events in 5 files of 13.6 KiB
`,
  },
  {
    name: 'a torn end',
    spoil: (dir, host) => host.edit(`${dir}/00000005.seg`, (bytes) => bytes.subarray(0, -100)),
    verify: `\
bus: events 90 to 99: missing at the end, although they were on disk
bus: 00000005.seg: torn end of 1.2 KiB; the next start cuts it off
bus: damaged; readable: 9 frames, 90 events in 5 files of 13.5 KiB
`,
    repair: 'bus: cut off 1.2 KiB of an incomplete frame\nbus: 5 files, 12.3 KiB left\n',
    after: `\
bus: events 90 to 99: missing at the end, although they were on disk
bus: damaged; readable: 9 frames, 90 events in 5 files of 12.3 KiB
`,
  },
  {
    name: 'a file without its header',
    spoil: (dir, host) => host.edit(`${dir}/00000003.seg`, (bytes) => bytes.fill(0, 0, 176)),
    verify: `\
bus: 00000003.seg: both copies of the header are damaged
bus: 00000002.seg: 20 of 40 events missing, 0 B of incomplete frames
bus: damaged; readable: 8 frames, 80 events in 4 files of 10.9 KiB
`,
    repair: `\
bus: moved to quarantine/: 00000003.seg: both copies of the header are damaged
bus: 00000002.seg: 20 events are lost to damage; the agent will count them as corrupt
bus: 4 files, 10.9 KiB left
`,
    after: `\
bus: 00000002.seg: 20 of 40 events missing, 0 B of incomplete frames
bus: damaged; readable: 8 frames, 80 events in 4 files of 10.9 KiB
`,
  },
  {
    name: 'a file without a whole frame, and a damaged cursor',
    spoil: (dir, host) => {
      host.edit(`${dir}/00000001.seg`, (bytes) => bytes.fill(7, 176))
      writeFileSync(`${dir}/cursor`, 'x')
    },
    verify: `\
bus: cursor: unreadable; sending will start at the oldest event
bus: 00000001.seg: 20 of 20 events missing, 2.5 KiB of incomplete frames
bus: damaged; readable: 8 frames, 80 events in 5 files of 13.6 KiB
`,
    repair: `\
bus: moved to quarantine/: 00000001.seg: no valid frame in it
bus: cursor: unreadable; the next start sends from the oldest event and writes a new cursor
bus: 4 files, 10.9 KiB left
`,
    after: `\
bus: cursor: unreadable; sending will start at the oldest event
bus: damaged; readable: 8 frames, 80 events in 4 files of 10.9 KiB
`,
  },
]

for (const { name, spoil, verify, repair, after } of rows) {
  test(`spool verify and repair: ${name}`, async () => {
    using host = await filled()
    spoil(host.dir('bus'), host)
    const code = (text: string): number => (text.includes('damaged;') ? 1 : 0)
    assert.deepEqual(await host.run('verify'), { code: code(verify), stdout: verify, stderr: '' })
    assert.deepEqual(await host.run('repair bus'), { code: 0, stdout: repair, stderr: '' })
    assert.deepEqual(await host.run('verify F/spool/bus'), {
      code: code(after),
      stdout: after.replaceAll(/^bus:/gm, 'F/spool/bus:'),
      stderr: '',
    })
  })
}

test('spool repair: readable events are sent after a repair, in order', async () => {
  using host = await filled()
  const dir = host.dir('bus')
  host.edit(`${dir}/00000002.seg`, flip(IN_SECOND_FRAME))
  host.edit(`${dir}/00000004.seg`, (bytes) => bytes.fill(7, 176))
  unlinkSync(`${dir}/00000001.seg`)
  assert.equal((await host.run('repair bus')).code, 0)
  await using spool = await host.open('bus')
  const seqs: number[] = []
  for (let read = await spool.next(1); read.status === 'frames'; read = await spool.next(1)) {
    seqs.push(...read.frames.map(({ seq }) => seq))
    spool.ack(read.token)
  }
  const { acked, lost, imbalance } = spool.stats()
  assert.deepEqual(seqs, [20, 40, 50, 80, 90])
  assert.deepEqual([acked, lost.corrupt, imbalance], [50, 50, 0])
})

test('spool repair: reports files that it deletes from a full quarantine, and files of another version', async () => {
  using host = await filled()
  const dir = host.dir('bus')
  mkdirSync(`${dir}/quarantine`)
  for (let i = 10; i < 43; i++) writeFileSync(`${dir}/quarantine/${i}-00000001.seg.damaged`, '')
  host.edit(`${dir}/00000003.seg`, (bytes) => bytes.fill(0, 0, 176))
  const { stdout } = await host.run('repair bus')
  assert.match(
    stdout,
    /^bus: moved to quarantine\/: 00000003\.seg: .*\nbus: deleted from quarantine\/ to make room: 2 older files$/m,
  )
  assert.equal(readdirSync(`${dir}/quarantine`).length, 32)
  host.edit(`${dir}/00000002.seg`, (bytes) => bytes.fill(2, 4, 5).fill(2, 92, 93))
  assert.deepEqual(await host.run('repair bus'), {
    code: 1,
    stdout: '',
    stderr:
      'ktrail: cannot use the spool "F/spool/bus": 00000002.seg was written by another version of ktrail, in format 2; the spool ' +
      'is unchanged: start that version again, or give this exporter another folder\n',
  })
})

test('spool repair: does not touch a folder that is not a spool', async () => {
  using host = new Host()
  mkdirSync(host.folder.at('other'))
  writeFileSync(host.folder.at('other/notes.txt'), 'x')
  for (const [line, want] of [
    ['repair F/other', '"F/other" is not a spool: expected files such as cursor and 00000001.seg'],
    ['repair F/none', 'cannot read the spool "F/none": no such folder'],
    ['repair bus', 'cannot read the spool "F/spool/bus": no such folder'],
  ] as const) {
    assert.deepEqual(await host.run(line), { code: 1, stdout: '', stderr: `ktrail: ${want}\n` })
  }
  assert.deepEqual(readdirSync(host.folder.at('other')), ['notes.txt'])
})

test('spool verify: one bad spool makes it fail, but the others are verified too', async () => {
  using host = new Host(
    '  bus: { type: stdout, spool: { dir: F/spool } }\n  loki: { type: stdout, spool: { dir: F/spool } }\n  new: { type: stdout, spool: { dir: F/spool } }',
  )
  await host.fill('bus', 1)
  await host.fill('loki', 1)
  host.edit(`${host.dir('bus')}/00000001.seg`, flip(400))
  const { code, stdout, stderr } = await host.run('verify')
  assert.deepEqual([code, stderr], [1, ''])
  assert.match(stdout, /^bus: damaged; readable: 0 frames, 0 events/m)
  assert.match(stdout, /^loki: no damage; 1 frame, 10 events in 1 file of 1\.4 KiB$/m)
  assert.match(stdout, /^new: nothing was spooled yet$/m)
})

test('spool verify: whole frames with unusable content are damage too', async () => {
  using host = new Host()
  await host.fill('bus', 1)
  const newer = frameOf(tenEvents(10))
  newer.parts[0]?.fill(3, 0, 1)
  const unpackable: SpoolFrame = { parts: [Buffer.alloc(50)], count: 10, first: 20, last: 29, packed: true }
  for (const frame of [newer, unpackable]) {
    await using spool = await host.open('bus')
    assert.equal((await spool.append([frame])).status, 'written')
  }
  assert.deepEqual(await host.run('verify'), {
    code: 1,
    stdout: `\
bus: 00000002.seg: 10 of 10 events cannot be read: expected events of version 2, got version 3: written by another release
bus: 00000003.seg: 10 of 10 events cannot be read: expected a piece of events, got 0 bytes
bus: damaged; readable: 3 frames, 10 events in 3 files of 3.1 KiB
`,
    stderr: '',
  })
})
