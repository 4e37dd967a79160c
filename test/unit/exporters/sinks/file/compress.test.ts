/** Rotated files become `.gz` while writing continues; failures of it lose no line and no delivery. */
import assert from 'node:assert/strict'
import { readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { compress } from '../../../../../exporters/sinks/file/compress.ts'
import { FileExporter } from '../../../../../exporters/sinks/file/exporter.ts'
import { systemFiles } from '../../../../../exporters/sinks/file/file-system.ts'
import type { FileSystem, OpenFile } from '../../../../../exporters/sinks/file/file-system.ts'
import { rotatedName } from '../../../../../exporters/sinks/file/names.ts'
import { until } from '../../support/fake-clock.ts'
import { errno } from '../../support/faulty-files.ts'
import type { Fault } from '../../support/faulty-files.ts'
import { delivered, make, script } from '../../support/file-rig.ts'
import type { Rig } from '../../support/file-rig.ts'
import { Folder } from '../../support/folder.ts'
import { idsOf, lines, numbers } from '../../support/lines.ts'
import { fileConfig } from '../../support/file-rig.ts'

/** Two lines for each file. */
const SMALL = { max_size: 45, max_files: 100, compress: true }
const FIRST = 'events-2026-11-24T14-03-09.123.jsonl'

const compressed = (rig: Rig, count: number): Promise<void> =>
  until(`${count} files are compressed`, () => rig.exporter.counters.compressions === count)

const idsOfGzip = (folder: Folder, name: string): number[] =>
  idsOf(gunzipSync(readFileSync(folder.at(name))).toString())

test('compress: rotated files become .gz with their lines and their mode, the current one stays plain', async () => {
  using folder = new Folder()
  const rig = make(folder, { ...SMALL, mode: '0640' })
  await rig.exporter.start()
  await delivered(rig.exporter, lines(0, 5, 20))
  await compressed(rig, 2)
  const names = [`${FIRST}.gz`, 'events-2026-11-24T14-03-09.124.jsonl.gz', 'events.jsonl']
  assert.deepEqual(folder.names(), names)
  assert.deepEqual(idsOfGzip(folder, `${FIRST}.gz`), [0, 1])
  assert.deepEqual(idsOf(folder.read('events.jsonl')), [4])
  for (const name of names) assert.equal(statSync(folder.at(name)).mode & 0o7777, 0o640)
  await rig.exporter.stop()
})

test('compress: a file of many chunks is whole, through short reads and short writes', async () => {
  using folder = new Folder()
  const rig = make(folder, { ...SMALL, max_size: 2 << 20 })
  await rig.exporter.start()
  // Does not shrink, so that the output has many chunks too.
  const noise = Buffer.from(Array.from({ length: 1 << 20 }, () => 32 + Math.floor(Math.random() * 90)))
  writeFileSync(folder.at('events.jsonl'), noise)
  rig.files.plan = (call, path) => (call === 'writev' && path.endsWith('.tmp') ? 4000 : undefined)
  await rig.exporter.reopen()
  await delivered(rig.exporter, lines(0, 1), lines(1, 1, 1 << 21))
  await compressed(rig, 1)
  const whole = gunzipSync(readFileSync(folder.at(`${FIRST}.gz`)))
  assert.ok(whole.equals(Buffer.concat([noise, Buffer.from('\n{"id":0}\n')])))
  await rig.exporter.stop()
})

test('compress: plain rotated files from before compression was enabled are compressed at the start', async () => {
  using folder = new Folder()
  writeFileSync(folder.at(FIRST), '{"id":0}\n', { mode: 0o644 })
  const rig = make(folder, SMALL)
  await rig.exporter.start()
  await compressed(rig, 1)
  assert.deepEqual(folder.names(), [`${FIRST}.gz`, 'events.jsonl'])
  assert.equal(statSync(folder.at(`${FIRST}.gz`)).mode & 0o7777, 0o644)
  await rig.exporter.stop()
})

test('compress: synced and renamed before the plain file is deleted', async () => {
  using folder = new Folder()
  writeFileSync(folder.at(FIRST), '{"id":0}\n')
  const rig = make(folder, SMALL)
  const calls: string[] = []
  rig.files.plan = (call, path) => void (path === folder.at('events.jsonl') ? 0 : calls.push(call))
  await rig.exporter.start()
  await compressed(rig, 1)
  const order = calls.filter((call) => ['writev', 'chmod', 'datasync', 'rename', 'syncFolder', 'unlink'].includes(call))
  assert.deepEqual([...new Set(order)], ['writev', 'chmod', 'datasync', 'rename', 'syncFolder', 'unlink'])
  await rig.exporter.stop()
})

const FAILURES: ReadonlyArray<readonly [call: 'open' | 'writev' | 'read' | 'chmod' | 'datasync' | 'rename', Fault]> = [
  ['open', 'ENOSPC'],
  ['writev', 'ENOSPC'],
  ['writev', 0],
  ['read', 'EIO'],
  ['chmod', 'EIO'],
  ['datasync', 'EIO'],
  ['rename', 'EIO'],
]
for (const [call, fault] of FAILURES) {
  test(`compress: ${call} that fails with ${fault} keeps only the plain file, and the next rotation tries again`, async () => {
    using folder = new Folder()
    const rig = make(folder, SMALL)
    const { exporter, files, warnings } = rig
    await exporter.start()
    files.plan = (what, path) => (what === call && path !== folder.at('events.jsonl') ? fault : undefined)
    await delivered(exporter, lines(0, 3, 20))
    await until('it has failed', () => exporter.counters.compression_failures === 1)
    assert.match(warnings.join(), new RegExp(`^cannot compress ".*${FIRST}": .*; it is retried at the next rotation$`))
    assert.deepEqual(folder.names(), [FIRST, 'events.jsonl'])
    assert.deepEqual(folder.ids(), [0, 1, 2])
    files.plan = () => undefined
    await delivered(exporter, lines(3, 2, 20))
    await compressed(rig, 2)
    assert.deepEqual(idsOfGzip(folder, `${FIRST}.gz`), [0, 1])
    await exporter.stop()
  })
}

for (const call of ['syncFolder', 'unlink'] as const) {
  test(`compress: ${call} that fails at the end keeps both, and the next time only the plain one is deleted`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at(FIRST), '{"id":0}\n')
    const rig = make(folder, SMALL)
    script(rig.files, { [call]: ['EIO'] })
    await rig.exporter.start()
    await until('it has failed', () => rig.exporter.counters.compression_failures === 1)
    assert.deepEqual(folder.names(), [FIRST, `${FIRST}.gz`, 'events.jsonl'])
    const { ino } = statSync(folder.at(`${FIRST}.gz`))
    await delivered(rig.exporter, lines(1, 3, 20))
    await compressed(rig, 2)
    assert.ok(!folder.names().includes(FIRST))
    assert.equal(statSync(folder.at(`${FIRST}.gz`)).ino, ino, 'it was complete and is reused')
    assert.deepEqual(idsOfGzip(folder, `${FIRST}.gz`), [0])
    await rig.exporter.stop()
  })
}

const BESIDE: ReadonlyArray<readonly [what: string, content: Buffer]> = [
  ['half a gzip file', gzipSync('{"id":0}\n{"id":1}\n').subarray(0, 20)],
  ['a gzip file of other lines', gzipSync('{"id":7}\n{"id":8}\n')],
  ['a gzip file of fewer lines', gzipSync('{"id":0}\n')],
  ['a gzip file of more lines', gzipSync('{"id":0}\n{"id":1}\n{"id":2}\n')],
  ['an empty file', Buffer.alloc(0)],
  ['no gzip file', Buffer.from('hello')],
]
for (const [what, content] of BESIDE) {
  test(`compress: ${what} under the name of the compressed file is replaced while the plain file exists`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at(FIRST), '{"id":0}\n{"id":1}\n')
    writeFileSync(folder.at(`${FIRST}.gz`), content)
    const rig = make(folder, SMALL)
    await rig.exporter.start()
    await compressed(rig, 1)
    assert.deepEqual(folder.names(), [`${FIRST}.gz`, 'events.jsonl'])
    assert.deepEqual(idsOfGzip(folder, `${FIRST}.gz`), [0, 1])
    await rig.exporter.stop()
  })
}

test('compress: leftovers of a crash are removed at the start, files of other programs are not', async () => {
  using folder = new Folder()
  writeFileSync(folder.at(`${FIRST}.gz.0123abcd.tmp`), 'half')
  writeFileSync(folder.at('other-2026-11-24T14-03-09.123.jsonl.gz.0123abcd.tmp'), 'half')
  const { exporter } = make(folder)
  await exporter.start()
  await until('it is removed', () => folder.names().length === 2)
  assert.deepEqual(folder.names(), ['other-2026-11-24T14-03-09.123.jsonl.gz.0123abcd.tmp', 'events.jsonl'])
  await exporter.stop()
})

test('compress: if disabled, a pair left by a crash becomes one file, and no other is compressed', async () => {
  using folder = new Folder()
  writeFileSync(folder.at(FIRST), '{"id":0}\n')
  writeFileSync(folder.at(`${FIRST}.gz`), gzipSync('{"id":0}\n'))
  writeFileSync(folder.at('events-2026-01-24T14-03-09.123.jsonl'), '{"id":1}\n')
  const rig = make(folder)
  await rig.exporter.start()
  await compressed(rig, 1)
  assert.deepEqual(folder.names(), ['events-2026-01-24T14-03-09.123.jsonl', `${FIRST}.gz`, 'events.jsonl'])
  await rig.exporter.stop()
})

test('compress: if the plain file of a pair is deleted meanwhile, the compressed one is closed', async () => {
  let [opened, closed] = [0, 0]
  const file = { close: async () => void closed++ } as unknown as OpenFile
  const gone = (): never => {
    throw errno('ENOENT')
  }
  const files: FileSystem = {
    ...systemFiles,
    lstat: () => stat('/'),
    open: async () => (opened++ === 0 ? file : gone()),
  }
  const plain = { path: '/x', wallMs: 0, compressed: false, sizeBytes: 1, mode: 0o600 }
  await assert.rejects(compress(files, plain, new AbortController().signal), { code: 'ENOENT' })
  assert.equal(closed, 1)
})

test('compress: a stop ends it at once, the plain file stays whole, and the next start finishes it', async () => {
  using folder = new Folder()
  const path = folder.at('events.jsonl')
  const text = `${'x'.repeat(1000)}\n`.repeat(8000)
  writeFileSync(rotatedName(path, Date.UTC(2026, 10, 24)), text)
  const rig = make(folder, SMALL)
  let reads = 0
  const begun = new Promise<void>((resolve) => {
    rig.files.plan = (call) => {
      if (call === 'read' && ++reads === 2) resolve()
      return undefined
    }
  })
  await rig.exporter.start()
  await begun
  await rig.exporter.stop()
  assert.ok(reads < 10, `${reads} reads of 8 MB`)
  assert.deepEqual(folder.names(), ['events-2026-11-24T00-00-00.000.jsonl', 'events.jsonl'])
  assert.deepEqual([rig.exporter.counters.compression_failures, rig.warnings], [0, []])

  const next = make(folder, SMALL)
  await next.exporter.start()
  await compressed(next, 1)
  assert.equal(gunzipSync(readFileSync(folder.at('events-2026-11-24T00-00-00.000.jsonl.gz'))).toString(), text)
  await next.exporter.stop()
})

for (const [when, call] of [
  ['while it is compressed', 'datasync'],
  ['when that is done', 'syncFolder'],
] as const) {
  test(`compress: a file that is deleted ${when} is no failure and does not reappear`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at(FIRST), '{"id":0}\n')
    const rig = make(folder, { ...SMALL, max_files: 2 })
    let deleted = false
    rig.files.plan = (what) => {
      if (what !== call || deleted) return undefined
      deleted = true
      unlinkSync(folder.at(FIRST))
      for (const day of [25, 26]) writeFileSync(folder.at(`events-2026-12-${day}T14-03-09.123.jsonl`), '{"id":1}\n')
      return undefined
    }
    await rig.exporter.start()
    await until('it is gone', () => deleted && !folder.names().some((name) => name.startsWith(FIRST)))
    assert.deepEqual(
      [
        rig.exporter.counters.compression_failures,
        rig.warnings.filter((each) => !each.startsWith('the next rotation')),
      ],
      [0, []],
    )
    await rig.exporter.stop()
  })
}

test('compress: many rotations in a row keep every line once, and only .gz files besides the current one', async () => {
  using folder = new Folder()
  const options = { path: folder.at('events.jsonl'), max_files: 1000 }
  await using exporter = new FileExporter(fileConfig({ ...options, max_size: 500, compress: true }))
  await exporter.start()
  for (let i = 0; i < 100; i++) await delivered(exporter, lines(i * 10, 10, 50))
  await until('all are compressed', () => exporter.counters.compressions === 99)
  const [current, ...rest] = folder.names().toReversed()
  assert.equal(current, 'events.jsonl')
  const ids = rest.toReversed().flatMap((name) => idsOfGzip(folder, name))
  assert.deepEqual([...ids, ...idsOf(folder.read('events.jsonl'))], numbers(0, 1000))
})
