import assert from 'node:assert/strict'
import { statSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { listRotated, rotatedName } from '../../../../../exporters/sinks/file/names.ts'
import { surplus, untilTooOld } from '../../../../../exporters/sinks/file/retention.ts'
import type { Retention } from '../../../../../exporters/sinks/file/retention.ts'
import { systemFiles } from '../../../../../exporters/sinks/file/file-system.ts'
import { until } from '../../support/fake-clock.ts'
import { delivered, make } from '../../support/file-rig.ts'
import { Folder } from '../../support/folder.ts'
import { lines } from '../../support/lines.ts'

const DAY = 86_400_000

/** Files rotated at days 1, 2, 3 …, each of this size, checked at day 10. */
const ROWS: ReadonlyArray<readonly [name: string, sizes: readonly number[], retention: Retention, gone: number]> = [
  ['nothing there', [], { max_files: 0, max_total_size: 0, max_age: 0 }, 0],
  ['as many as may be', [1, 1, 1], { max_files: 3 }, 0],
  ['one too many', [1, 1, 1], { max_files: 2 }, 1],
  ['no rotated file is allowed', [1, 1, 1], { max_files: 0 }, 3],
  ['as many bytes as may be', [1, 2, 3], { max_files: 9, max_total_size: 6 }, 0],
  ['one byte too many', [1, 2, 3], { max_files: 9, max_total_size: 5 }, 1],
  ['a large one takes the older with it', [1, 9, 3], { max_files: 9, max_total_size: 5 }, 2],
  ['the newest alone is too large', [1, 1, 9], { max_files: 9, max_total_size: 5 }, 3],
  ['just as old as may be', [1, 1, 1], { max_files: 9, max_age: 9 * DAY }, 0],
  ['a millisecond too old', [1, 1, 1], { max_files: 9, max_age: 9 * DAY - 1 }, 1],
  ['all too old', [1, 1, 1], { max_files: 9, max_age: DAY }, 3],
  ['the strictest counts: number', [1, 1, 1], { max_files: 1, max_total_size: 2, max_age: 99 * DAY }, 2],
  ['the strictest counts: bytes', [1, 1, 1], { max_files: 2, max_total_size: 1, max_age: 99 * DAY }, 2],
  ['the strictest counts: age', [1, 1, 1], { max_files: 2, max_total_size: 2, max_age: 7.5 * DAY }, 2],
]
for (const [name, sizes, retention, gone] of ROWS) {
  test(`retention: ${name}`, () => {
    const rotated = sizes.map((sizeBytes, i) => {
      return { path: `${i}`, wallMs: (i + 1) * DAY, compressed: i % 2 === 0, sizeBytes, mode: 0o600 }
    })
    assert.deepEqual(surplus(rotated, retention, 10 * DAY), rotated.slice(0, gone))
  })
}

/** Files rotated at days 1, 2 …, each as `.gz`, those in `both` also as a plain file; one byte each. */
const PAIRS: ReadonlyArray<
  readonly [name: string, days: number, both: number[], retention: Retention, gone: string[]]
> = [
  ['the newest twice', 3, [3], { max_files: 3 }, []],
  ['all twice', 2, [1, 2], { max_files: 2, max_total_size: 2 }, []],
  ['the oldest twice, one too many', 3, [1], { max_files: 2 }, ['1', '1.gz']],
  ['the newest twice, one byte too many', 3, [3], { max_files: 9, max_total_size: 2 }, ['1.gz']],
  ['one twice, too old', 2, [1], { max_files: 9, max_age: 8 * DAY }, ['1', '1.gz']],
]
for (const [name, days, both, retention, gone] of PAIRS) {
  test(`retention: a file counts once while it exists plain and compressed: ${name}`, () => {
    const rotated = Array.from({ length: days }, (_, i) => i + 1).flatMap((day) =>
      (both.includes(day) ? [`${day}`, `${day}.gz`] : [`${day}.gz`]).map((path) => {
        return { path, wallMs: day * DAY, compressed: path.endsWith('.gz'), sizeBytes: 1, mode: 0o600 }
      }),
    )
    assert.deepEqual(
      surplus(rotated, retention, 10 * DAY).map(({ path }) => path),
      gone,
    )
  })
}

test('retention: a crash during compression deletes no older file at the next start', async () => {
  using folder = new Folder()
  const names = [1, 2, 3].map((day) => `events-2026-11-0${day}T00-00-00.000.jsonl`)
  for (const name of names) writeFileSync(folder.at(`${name}.gz`), gzipSync('{"id":0}\n'))
  writeFileSync(folder.at(names[2] ?? ''), '{"id":0}\n')
  const { exporter } = make(folder, { max_files: 3, compress: true })
  await exporter.start()
  await until('the repair after the crash', () => exporter.counters.compressions === 1)
  assert.deepEqual(folder.names(), [...names.map((name) => `${name}.gz`), 'events.jsonl'])
  assert.equal(exporter.counters.deleted_files, 0)
  await exporter.stop()
})

test('retention: the next expiry is that of the oldest file, and never without a limit', () => {
  const rotated = [{ path: '', wallMs: DAY, compressed: false, sizeBytes: 1, mode: 0 }]
  assert.equal(untilTooOld(rotated, { max_files: 1, max_age: 3 * DAY }, 2 * DAY), 2 * DAY + 1)
  assert.equal(untilTooOld(rotated, { max_files: 1, max_age: DAY }, 9 * DAY), 1)
  assert.equal(untilTooOld(rotated, { max_files: 1 }, 2 * DAY), undefined)
  assert.equal(untilTooOld([], { max_files: 1, max_age: DAY }, 2 * DAY), undefined)
})

const NAMES: ReadonlyArray<readonly [path: string, name: string, want: 'plain' | 'gz' | 'unfinished' | 'no']> = [
  ['events.jsonl', 'events-2026-11-24T14-03-09.123.jsonl', 'plain'],
  ['events.jsonl', 'events-2026-11-24T14-03-09.123.jsonl.gz', 'gz'],
  ['events.jsonl', 'events-2026-11-24T14-03-09.123.jsonl.gz.0123abcd.tmp', 'unfinished'],
  ['events', 'events-2026-11-24T14-03-09.123', 'plain'],
  ['events', 'events-2026-11-24T14-03-09.123.gz', 'gz'],
  ['a.log.gz', 'a.log-2026-11-24T14-03-09.123.gz.gz', 'gz'],
  ['.hidden', '.hidden-2026-11-24T14-03-09.123', 'plain'],
  ['events.jsonl', 'events.jsonl', 'no'],
  ['events.jsonl', 'events-old.jsonl', 'no'],
  ['events.jsonl', 'eventsX2026-11-24T14-03-09.123.jsonl', 'no'],
  ['events.jsonl', 'events-2026-13-24T14-03-09.123.jsonl', 'no'],
  ['events.jsonl', 'events-2026-11-24T14-03-09.123.json', 'no'],
  ['events.jsonl', 'events-2026-11-24T14-03-09.123.jsonl.gz.tmp', 'no'],
  ['events.jsonl', 'events-2026-11-24T14-03-09.123.jsonl.gz.0123abcd.tmp.1', 'no'],
  ['events.jsonl', 'events-2026-11-24T14-03-09.123.jsonl.1', 'no'],
  ['events', 'events-2026-11-24T14-03-09.123.jsonl', 'no'],
]
for (const [path, name, want] of NAMES) {
  test(`retention: next to ${path}, ${name} is ${want === 'no' ? 'not ours' : want}`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at(name), '')
    const { rotated, unfinished } = await listRotated(systemFiles, folder.at(path))
    const kinds = rotated.map(({ compressed }) => (compressed ? 'gz' : 'plain'))
    assert.deepEqual([...kinds, ...unfinished.map(() => 'unfinished')], want === 'no' ? [] : [want])
  })
}

test('retention: the newest rotated files are kept, compressed or not, and no other file is touched', async () => {
  using folder = new Folder()
  const others = ['events-old.jsonl', 'eventsX2026-11-24T14-03-09.123.jsonl', 'other.jsonl', 'events.jsonl.1']
  const olds = ['events-2025-11-24T14-03-09.123.jsonl.gz', 'events-2025-11-25T14-03-09.123.jsonl']
  for (const name of [...others, ...olds]) writeFileSync(folder.at(name), '')
  const { exporter } = make(folder, { max_size: 20, max_files: 2 })
  await exporter.start()
  await delivered(exporter, lines(0, 6, 20))
  assert.deepEqual(folder.ids(), [3, 4, 5])
  const names = folder.names()
  for (const name of others) assert.ok(names.includes(name), name)
  for (const name of olds) assert.ok(!names.includes(name), name)
  assert.equal(exporter.counters.deleted_files, 5)
  await exporter.stop()
})

test('retention: bytes are bounded after every rotation, and older files are deleted already at the start', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('events-2020-01-01T00-00-00.000.jsonl'), 'x'.repeat(1000))
  const { exporter, files } = make(folder, { max_size: 100, max_files: 100, max_total_size: 250 })
  await exporter.start()
  assert.deepEqual(folder.names(), ['events.jsonl'])
  let most = 0
  files.plan = (call) => {
    if (call !== 'writev') return undefined
    const sizes = folder.names().map((name) => statSync(folder.at(name)).size)
    most = Math.max(
      most,
      sizes.slice(0, -1).reduce((sum, size) => sum + size, 0),
    )
    return undefined
  }
  for (let i = 0; i < 50; i++) await delivered(exporter, lines(i, 1, 50))
  assert.equal(most, 200)
  await exporter.stop()
})

for (const [limit, rotate] of [
  ['max_files', { max_files: 3 }],
  ['max_total_size', { max_files: 100, max_total_size: 79 }],
] as const) {
  test(`retention: ${limit}: one warning, before the first rotation that deletes events`, async () => {
    using folder = new Folder()
    const { exporter, warnings } = make(folder, { max_size: 20, ...rotate })
    await exporter.start()
    await delivered(exporter, lines(0, 3, 20))
    assert.deepEqual(warnings, [])
    await delivered(exporter, lines(3, 1, 20))
    assert.equal(exporter.counters.deleted_files, 0)
    await delivered(exporter, lines(4, 9, 20))
    assert.ok(exporter.counters.deleted_files > 0)
    assert.equal(exporter.counters.deletions_foretold, 1)
    assert.match(
      warnings.join('\n'),
      /^the next rotation of ".*\/events.jsonl" deletes events: all before \d{4}-\S+Z; raise rotate.max_files, filter the events, or send them to a sink that keeps them$/,
    )
    await exporter.stop()
  })
}

test('retention: age needs no rotation: a timer deletes the files one after another', async () => {
  using folder = new Folder()
  const { exporter, clock } = make(folder, { max_files: 9, max_age: DAY })
  for (const ageMs of [DAY - 1000, DAY / 2, 0]) {
    writeFileSync(rotatedName(folder.at('events.jsonl'), clock.wallMs() - ageMs), '')
  }
  await exporter.start()
  assert.deepEqual(clock.pending, [1001])
  await clock.turn(1001)
  await until('the first is gone', () => exporter.counters.deleted_files === 1 && clock.pending.length === 1)
  assert.deepEqual(clock.pending, [DAY / 2 - 1000])
  await exporter.stop()
  assert.deepEqual(clock.pending, [])
})

test('retention: a rotated file that cannot be deleted is reported, and stops neither delivery nor the other deletions', async () => {
  using folder = new Folder()
  const { exporter, files, warnings } = make(folder, { max_size: 20, max_files: 0 })
  await exporter.start()
  let first: string | undefined
  files.plan = (call, path) => (call === 'unlink' && path === (first ??= path) ? 'EPERM' : undefined)
  await delivered(exporter, lines(0, 3, 20))
  assert.equal(exporter.counters.retention_failures, 2)
  assert.equal(exporter.counters.deleted_files, 1)
  assert.match(warnings.slice(1).join(), /^cannot delete ".*123.jsonl": operation not permitted/)
  assert.deepEqual(folder.ids(), [0, 2])
  await exporter.stop()
})

test('retention: a folder that cannot be listed is reported and does not stop delivery', async () => {
  using folder = new Folder()
  const { exporter, files, warnings } = make(folder, { max_size: 20, max_files: 1 })
  files.plan = (call) => (call === 'readdir' ? 'EIO' : undefined)
  await exporter.start()
  await delivered(exporter, lines(0, 2, 20))
  assert.match(warnings[0] ?? '', /^cannot list rotated files of .*: the device failed \(EIO\).*at the next rotation$/)
  assert.equal(exporter.counters.retention_failures, 2)
  await until('compressing has not been able to look either', () => exporter.counters.compression_failures === 1)
  assert.deepEqual(folder.ids(), [0, 1])
  await exporter.stop()
})
