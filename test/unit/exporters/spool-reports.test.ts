import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { pino } from 'pino'
import type { Log } from '../../../exporters/sinks/context.ts'
import { fullSpoolReport, reportRecovery, spoolReport } from '../../../exporters/reports.ts'
import { spoolOpener } from '../../../exporters/start.ts'
import { spoolOf } from '../../support/exporter-config.ts'
import type { RecoveryReport } from '../../../exporters/buffer/disk/recovery.ts'
import { Folder } from './support/folder.ts'

interface Line {
  readonly level: number
  readonly exporter: string
  readonly msg: string
}

function logTo(lines: Line[]): Log {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own log
  return pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) })
}

const WHOLE: RecoveryReport = {
  segments: 3,
  bytes: 300,
  tornBytes: 0,
  quarantined: [],
  removed: [],
  spent: 2,
  cursor: 'read',
}
const files = (count: number): string[] => Array.from({ length: count }, (_, i) => `0000000${i + 1}.seg: why`)

for (const { name, found, want } of [
  { name: 'an intact spool', found: {}, want: undefined },
  { name: 'one that is new', found: { cursor: 'absent', segments: 0 }, want: undefined },
  { name: 'a torn end', found: { tornBytes: 50 }, want: 'cut off: 50 bytes of an interrupted write' },
  { name: 'one file', found: { quarantined: files(1) }, want: 'moved to quarantine/: 00000001.seg: why' },
  {
    name: 'many files, and some from earlier starts',
    found: { quarantined: files(5), removed: ['a', 'b'] },
    want:
      'moved to quarantine/: 00000001.seg: why, 00000002.seg: why, 00000003.seg: why and 2 more; ' +
      'deleted from quarantine/ to make room: 2 older files',
  },
  {
    name: 'a damaged cursor',
    found: { cursor: 'corrupt' },
    want: 'cursor: unreadable, so all events here are sent, maybe again',
  },
  {
    name: 'no cursor',
    found: { cursor: 'absent' },
    want: 'cursor: missing, so events that are not here count as corrupt',
  },
] as const) {
  test(`spool report: the start of ${name} is ${want === undefined ? 'not reported' : 'reported in one sentence'}`, () => {
    const lines: Line[] = []
    reportRecovery('x', { ...WHOLE, ...found }, logTo(lines))
    const msg = `the spool was damaged and is repaired: ${want}`
    assert.deepEqual(lines, want === undefined ? [] : [{ level: 40, exporter: 'x', msg }])
  })
}

test('spool report: a failure is reported when it begins and when it ends, each kind separately', () => {
  const lines: Line[] = []
  const reported = spoolReport('x', logTo(lines), { nowMs: () => 0 })
  reported('cursor', 'EIO')
  reported('sync', 'EIO')
  reported('cursor', '')
  reported('sync', '')
  assert.deepEqual(
    lines.map(({ level, msg }) => [level, msg]),
    [
      [40, 'cannot store the position in the spool, retrying; after a restart now, events would be sent again: EIO'],
      [40, 'cannot sync the spool, retrying; a power cut now would lose events: EIO'],
      [30, 'the position in the spool can be stored again'],
      [30, 'the spool can be synced again'],
    ],
  )
})

test('spool report: a disk that fails and works in turn is reported once a minute', () => {
  const lines: Line[] = []
  let nowMs = 0
  const reported = spoolReport('x', logTo(lines), { nowMs: () => nowMs })
  for (; nowMs < 100_000; nowMs += 1000) {
    reported('write', 'EIO')
    reported('write', '')
  }
  assert.deepEqual(
    lines.map(({ level }) => level),
    [40, 30, 40, 30],
  )
})

test('spool report: the agent reports a spool that it had to repair', async () => {
  using folder = new Folder()
  const lines: Line[] = []
  const config = spoolOf({ dir: folder.path, min_free: '0B' })
  const open = async (): Promise<void> => {
    const spool = await spoolOpener('a', config, { epoch: 'e', log: logTo(lines) })(() => undefined)
    await spool.append([{ parts: [Buffer.alloc(100)], count: 1, first: 0, last: 0 }])
    await spool.close()
  }
  await open()
  const segment = folder.at('a/00000001.seg')
  writeFileSync(segment, readFileSync(segment).fill(0, 0, 176))
  await open()
  assert.deepEqual(
    lines.map(({ exporter, msg }) => [exporter, msg]),
    [
      [
        'a',
        'the spool was damaged and is repaired: moved to quarantine/: 00000001.seg: both copies of the header are damaged',
      ],
    ],
  )
})

test('spool report: a spool that is full and not in turn is reported once a minute', () => {
  const lines: string[] = []
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line.trim()) })
  let nowMs = 0
  const reported = fullSpoolReport('x', log, { nowMs: () => nowMs })
  for (; nowMs < 90_000; nowMs += 1000) {
    reported('the spool takes no more: the disk is full')
    reported('')
  }
  assert.deepEqual(
    lines.map((line) => /"level":40.*disk is full/.test(line)),
    [true, false, true, false],
  )
})
