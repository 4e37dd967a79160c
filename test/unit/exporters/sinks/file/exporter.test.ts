import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { FileExporter } from '../../../../../exporters/sinks/file/exporter.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'
import type { Fault } from '../../support/faulty-files.ts'
import { until } from '../../support/fake-clock.ts'
import { delivered, insist, make, NEVER, script, sentence } from '../../support/file-rig.ts'
import { Folder } from '../../support/folder.ts'
import { batch, lines, numbers } from '../../support/lines.ts'
import { fileConfig } from '../../support/file-rig.ts'

test('file: appends whole lines in order, one writev a batch', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(0, 3), lines(3, 4))
  await delivered(exporter, lines(7, 1))
  assert.deepEqual(folder.ids(), numbers(0, 8))
  assert.equal(files.log.filter((call) => call === 'writev').length, 2)
  await exporter.stop()
})

test('file: is created with its mode for any umask, and its folder with 0700', async () => {
  using folder = new Folder()
  const umask = process.umask(0o777)
  try {
    const { exporter } = make(folder, { path: folder.at('new/events.jsonl'), mode: '0640' })
    process.umask(0)
    await exporter.start()
    process.umask(0o777)
    const { exporter: other } = make(folder, { path: folder.at('new/other.jsonl') })
    await other.start()
    await Promise.all([exporter.stop(), other.stop()])
  } finally {
    process.umask(umask)
  }
  assert.equal(statSync(folder.at('new')).mode & 0o7777, 0o700)
  assert.equal(statSync(folder.at('new/events.jsonl')).mode & 0o7777, 0o640)
  assert.equal(statSync(folder.at('new/other.jsonl')).mode & 0o7777, 0o600)
})

test('file: an existing file is continued and keeps its mode', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('events.jsonl'), '{"id":0}\n', { mode: 0o644 })
  const { exporter } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(1, 1))
  assert.deepEqual(folder.ids(), [0, 1])
  assert.equal(statSync(folder.at('events.jsonl')).mode & 0o777, 0o644)
  assert.equal(exporter.counters.torn_lines_repaired, 0)
  await exporter.stop()
})

test('file: a last line torn by a crash gets its line feed, is counted, and the next line is whole', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('events.jsonl'), '{"id":0}\n{"i')
  const { exporter } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(1, 1))
  assert.equal(readFileSync(folder.at('events.jsonl'), 'utf8'), '{"id":0}\n{"i\n{"id":1}\n')
  assert.equal(exporter.counters.torn_lines_repaired, 1)
  await exporter.stop()
})

const UNUSABLE: ReadonlyArray<readonly [string, (folder: Folder) => string, RegExp]> = [
  ['a folder', (folder) => folder.path, /expected a file, got a folder \(EISDIR\); use a file name/],
  [
    'a symbolic link',
    (folder) => {
      writeFileSync(folder.at('target'), '')
      symlinkSync(folder.at('target'), folder.at('link'))
      return folder.at('link')
    },
    /expected a file, got a symbolic link \(ELOOP\)/,
  ],
  [
    'a symbolic link to nowhere',
    (folder) => (symlinkSync('/nonexistent', folder.at('l')), folder.at('l')),
    /symbolic link/,
  ],
  [
    'two missing folders',
    (folder) => folder.at('a/b/events.jsonl'),
    /its folder does not exist \(ENOENT\); make the folder/,
  ],
  [
    'a file as folder',
    (folder) => (writeFileSync(folder.at('f'), ''), folder.at('f/events.jsonl')),
    /not a folder \(ENOTDIR\)/,
  ],
  ['a device', () => '/dev/null', /expected a regular file, got something else/],
  ['an endless name', (folder) => folder.at('x'.repeat(300)), /name is too long/],
]
for (const [what, path, want] of UNUSABLE) {
  test(`file: ${what} in its place is an error at the start, not a crash later`, async () => {
    using folder = new Folder()
    const { exporter } = make(folder, { path: path(folder) })
    await assert.rejects(exporter.start(), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.match(error.message, want)
      assert.match(error.message, /^cannot open "/)
      return true
    })
    await exporter.stop()
  })
}

for (const [call, errno] of [
  ['open', 'EACCES'],
  ['open', 'EROFS'],
  ['mkdir', 'EACCES'],
  ['stat', 'EACCES'],
] as const) {
  test(`file: ${errno} of ${call} at the start is an error that names the path`, async () => {
    using folder = new Folder()
    const { exporter, files } = make(folder, { path: folder.at('sub/events.jsonl') })
    files.plan = (what) => (what === call ? errno : undefined)
    await assert.rejects(exporter.start(), new RegExp(`sub/events.jsonl".*${errno}`))
  })
}

test('file: a disk that is full at the start does not prevent the start of the agent', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  files.plan = (call) => (call === 'open' ? 'ENOSPC' : undefined)
  await exporter.start()
  assert.match(sentence(await exporter.send(batch(lines(0, 1)), NEVER)), /no space left/)
  files.plan = () => undefined
  await delivered(exporter, lines(0, 1))
  assert.deepEqual(folder.ids(), [0])
  await exporter.stop()
})

test('file: short writes are continued and no line is torn', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  await exporter.start()
  script(files, { writev: [1, 3, 11, 2] })
  await delivered(exporter, lines(0, 3), lines(3, 3))
  assert.deepEqual(folder.ids(), numbers(0, 6))
  await exporter.stop()
})

for (const errno of ['ENOSPC', 'EDQUOT', 'EIO', 'EWEIRD']) {
  test(`file: ${errno} within a line leaves whole lines, and the retry neither loses nor doubles one`, async () => {
    using folder = new Folder()
    const { exporter, files } = make(folder)
    await exporter.start()
    script(files, { writev: [13, errno] })
    const first = await exporter.send(batch(lines(0, 2), lines(2, 2)), NEVER)
    assert.ok(first.status === 'retryable' && first.taken === 1)
    assert.match(first.error.message, new RegExp(`^cannot write to ".*events.jsonl": .*${errno}`))
    assert.deepEqual(folder.ids(), [0])
    await delivered(exporter, lines(1, 3))
    assert.deepEqual(folder.ids(), numbers(0, 4))
    await exporter.stop()
  })
}

test('file: if truncating fails too, it is repeated before anything else is written', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  await exporter.start()
  script(files, { writev: [13, 'EIO'], truncate: ['EIO', 'EIO', undefined] })
  const outcomes = await insist(exporter, batch(lines(0, 4)))
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['retryable', 'retryable', 'delivered'],
  )
  assert.deepEqual(folder.ids(), numbers(0, 4))
  await exporter.stop()
})

test('file: on a full disk beginnings of lines are not written repeatedly', async () => {
  using folder = new Folder()
  const files = new FaultyFiles()
  const path = folder.at('events.jsonl')
  const free = { bytes: 0, blockBytes: 16 }
  files.free = () => Promise.resolve(free)
  const exporter = new FileExporter(fileConfig({ path }), { files })
  await exporter.start()
  await delivered(exporter, lines(0, 1, 20))
  script(files, { writev: [5, 'ENOSPC'] })
  for (let i = 0; i < 5; i++) assert.match(sentence(await exporter.send(batch(lines(1, 2, 20)), NEVER)), /ENOSPC/)
  assert.equal(files.log.filter((call) => call === 'writev').length, 3)
  assert.equal(files.log.filter((call) => call === 'truncate').length, 1)
  // 12 bytes are left in the last block of the file: with 8 free ones a line fits.
  free.bytes = 8
  await delivered(exporter, lines(1, 2, 20))
  assert.deepEqual(folder.ids(), [0, 1, 2])
  await exporter.stop()
})

for (const how of ['rotation', 'reopen'] as const) {
  test(`file: a ${how} leaves no torn line behind, even if truncating it failed at first`, async () => {
    using folder = new Folder()
    const { exporter, files } = make(folder, { max_size: 45 })
    await exporter.start()
    await delivered(exporter, lines(0, 1, 20))
    script(files, { writev: [5, 'EIO'], truncate: ['EIO', 'EIO', 'EIO'] })
    const failed = await exporter.send(batch(lines(1, 1, 20)), NEVER)
    assert.ok(failed.status === 'retryable' && failed.unacknowledged === 0, 'the begun line is truncated')
    // The started event is cut off; the next one does not fit and needs a rotation.
    const next = batch(lines(2, 1, how === 'rotation' ? 30 : 20))
    if (how === 'reopen') await assert.rejects(exporter.reopen(), /EIO/)
    assert.equal((await exporter.send(next, NEVER)).status, 'retryable')
    if (how === 'reopen') await exporter.reopen()
    await insist(exporter, next)
    assert.deepEqual(folder.ids(), [0, 2])
    await exporter.stop()
  })
}

test('file: a write of 0 bytes without an error is an error, not an endless loop', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  await exporter.start()
  script(files, { writev: [0] })
  assert.match(sentence(await exporter.send(batch(lines(0, 1)), NEVER)), /wrote no bytes/)
  await exporter.stop()
})

test('file: a failure that needs manual action is a hold', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  await exporter.start()
  script(files, { writev: ['EROFS'] })
  const outcome = await exporter.send(batch(lines(0, 1)), NEVER)
  assert.equal(outcome.status, 'hold')
  assert.match(sentence(outcome), /read-only \(EROFS\); mount it writable/)
  await exporter.stop()
})

test('file: fsync batch syncs before each batch is delivered, never does not', async () => {
  using folder = new Folder()
  for (const [fsync, want] of [
    ['batch', 2],
    ['never', 0],
  ] as const) {
    const { exporter, files } = make(folder, { path: folder.at(fsync), fsync })
    await exporter.start()
    await delivered(exporter, lines(0, 1))
    await delivered(exporter, lines(1, 1))
    await exporter.stop()
    assert.equal(files.log.filter((call) => call === 'datasync').length, want)
  }
})

test('file: unsynced lines of a failed sync are cut off before they are written again', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder, { fsync: 'batch' })
  await exporter.start()
  await delivered(exporter, lines(0, 1))
  script(files, { datasync: ['EIO'] })
  const outcome = await exporter.send(batch(lines(1, 2)), NEVER)
  assert.ok(outcome.status === 'retryable' && outcome.taken === undefined)
  assert.match(sentence(outcome), /cannot sync .*the device failed \(EIO\); check the kernel log; .*\(2\)/)
  assert.deepEqual(folder.ids(), [0, 1, 2], 'readers that follow the file see no truncated file while the sink waits')
  await delivered(exporter, lines(1, 2))
  assert.deepEqual(folder.ids(), [0, 1, 2])
  assert.equal(exporter.counters.sync_failures, 1)
  assert.equal(exporter.counters.possibly_lost, 0, 'none of its lines had counted as delivered')
  script(files, { datasync: ['EIO'] })
  assert.equal((await exporter.send(batch(lines(3, 2)), NEVER)).status, 'retryable')
  await exporter.stop()
  assert.deepEqual(folder.ids(), [0, 1, 2], 'events that are not delivered are not in the file after a stop')
})

for (const fsync of ['batch', 1000] as const) {
  test(`file: minutes of failing syncs (${fsync}) displaces no file and keeps every archive`, async () => {
    using folder = new Folder()
    const { exporter, files, clock } = make(folder, { fsync, max_size: 1000, max_files: 5, max_total_size: 6000 })
    await exporter.start()
    for (let seq = 0; seq < 55; seq++) await delivered(exporter, lines(seq, 1, 100))
    const before = folder.names()
    assert.equal(before.length, 6, 'five archives and the current file')
    const ids = folder.ids()
    const begin = files.log.length
    const failures = (): number => exporter.counters.sync_failures
    files.plan = (call) => (call === 'datasync' ? 'EIO' : undefined)
    for (let second = 0; second < 180; second++) {
      if (fsync === 'batch') await insist(exporter, batch(lines(55, 1, 300)), 1).catch(() => undefined)
      // Events of interval syncs are in the file once, so only a few are written.
      else if (second < 3) await delivered(exporter, lines(55 + second, 1, 50))
      await clock.turn(1000)
      if (fsync === 1000 && second < 3) await until('the sync has failed', () => failures() > second)
    }
    assert.ok(failures() >= 3)
    assert.deepEqual(folder.names(), before)
    assert.ok(!files.log.slice(begin).some((call) => call === 'rename' || call === 'unlink'))
    assert.deepEqual(folder.ids().slice(0, ids.length), ids)
    files.plan = () => undefined
    await delivered(exporter, lines(58, 1, 50))
    await exporter.stop()
    assert.deepEqual(folder.ids(), [...ids, ...(fsync === 'batch' ? [] : [55, 56, 57]), 58])
  })
}

test('file: fsync by interval syncs once after the interval, and only when something was written', async () => {
  using folder = new Folder()
  const { exporter, files, clock, warnings } = make(folder, { fsync: 1000 })
  const syncs = (): number => files.log.filter((call) => call === 'datasync').length
  await exporter.start()
  assert.deepEqual(clock.pending, [])
  await delivered(exporter, lines(0, 1))
  await delivered(exporter, lines(1, 1))
  assert.deepEqual([syncs(), clock.pending], [0, [1000]])
  await clock.turn(1000)
  await delivered(exporter, lines(2, 1))
  assert.equal(syncs(), 1)
  script(files, { datasync: ['EIO'] })
  await clock.turn(1000)
  await delivered(exporter, lines(3, 1))
  assert.equal(exporter.counters.sync_failures, 1)
  assert.match(warnings.join(), /cannot sync .*; events since the last sync \(1\) may not be on the disk$/)
  await exporter.stop()
  assert.deepEqual(clock.pending, [])
  assert.deepEqual(folder.ids(), numbers(0, 4))
})

test('file: lines of a failed batch are synced at the interval too', async () => {
  using folder = new Folder()
  const { exporter, files, clock } = make(folder, { fsync: 1000 })
  await exporter.start()
  script(files, { writev: [9, 'ENOSPC'] })
  assert.equal((await exporter.send(batch(lines(0, 2)), NEVER)).status, 'retryable')
  assert.deepEqual(clock.pending, [1000])
  await clock.turn(1000)
  await until('it is synced', () => files.log.includes('datasync'))
  await exporter.stop()
})

for (const end of ['timer', 'rotation', 'reopen', 'stop'] as const) {
  test(`file: delivered lines made unsafe by a failed sync at a ${end} are counted, once`, async () => {
    using folder = new Folder()
    const { exporter, files, clock, warnings } = make(folder, { fsync: 1000, max_size: 60 })
    await exporter.start()
    await delivered(exporter, lines(0, 1, 20))
    await clock.turn(1000)
    await until('it is synced', () => files.log.includes('datasync'))
    await delivered(exporter, lines(1, 2, 20))
    script(files, { datasync: ['EIO'] })
    if (end === 'timer') await clock.turn(1000)
    if (end === 'rotation') await delivered(exporter, lines(3, 1, 20))
    if (end === 'reopen') await exporter.reopen()
    await exporter.stop()
    assert.deepEqual([exporter.counters.sync_failures, exporter.counters.possibly_lost], [1, 2])
    assert.match(warnings.join(), /^cannot sync .*events .*\(2\) may not be on the disk/)
  })
}

test('file: an aborted send stops between files and reports how much it took', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder, { max_size: 45 })
  await exporter.start()
  const controller = new AbortController()
  files.plan = (call) => {
    if (call === 'rename') controller.abort()
    return undefined
  }
  const outcome = await exporter.send(batch(lines(0, 6, 20)), controller.signal)
  assert.ok(outcome.status === 'retryable' && outcome.taken === 2)
  assert.deepEqual(folder.ids(), [0, 1])
  await exporter.stop()
})

test('file: another writer in the same file cannot tear our lines', async () => {
  using folder = new Folder()
  const { exporter } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(0, 1))
  appendFileSync(folder.at('events.jsonl'), '{"id":99}\n')
  await delivered(exporter, lines(1, 1))
  assert.deepEqual(folder.ids(), [0, 99, 1])
  await exporter.stop()
})

test('file: overlapping reopens and sends run one after another', async () => {
  using folder = new Folder()
  const { exporter } = make(folder, { max_size: 60 })
  await exporter.start()
  const work = numbers(0, 20).map((seq) => [delivered(exporter, lines(seq, 1, 20)), exporter.reopen()])
  await Promise.all(work.flat())
  await exporter.stop()
  // 20 lines, three a file, six files kept: the current one and five rotated.
  assert.equal(folder.names().length, 6)
  assert.deepEqual(folder.ids(), numbers(3, 20))
})

test('file: with any failing calls, every line is in the files exactly once and whole', async () => {
  const fault: fc.Arbitrary<Fault> = fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.constantFrom('ENOSPC', 'EIO', 'EDQUOT', 'EROFS') },
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 60 }) },
  )
  const scenario = fc.record({
    faults: fc.array(fault, { minLength: 5, maxLength: 60, size: 'max' }),
    batches: fc.array(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 8,
    }),
    max_size: fc.constantFrom(30, 100, 10_000),
    fsync: fc.constantFrom('never', 'batch'),
  })
  await fc.assert(
    fc.asyncProperty(scenario, async ({ faults, batches, max_size, fsync }) => {
      using folder = new Folder()
      const { exporter, files } = make(folder, { max_size, max_files: 1000, fsync })
      await exporter.start()
      let next = 0
      files.plan = (call) => {
        const one = faults[next++]
        return call === 'writev' || typeof one === 'string' ? one : undefined
      }
      let seq = 0
      for (const counts of batches) {
        const parts = counts.map((count) => lines((seq += count) - count, count, 15))
        await insist(exporter, batch(...parts), 100)
      }
      await exporter.stop()
      assert.deepEqual(folder.ids(), numbers(0, seq))
    }),
    { numRuns: 100 },
  )
})

test('file: after a stop nothing is written, and a second stop does nothing', async () => {
  using folder = new Folder()
  const { exporter } = make(folder)
  await exporter.start()
  mkdirSync(folder.at('x'))
  await exporter.stop()
  await exporter.stop()
  const outcome = await exporter.send(batch(lines(0, 1)), NEVER)
  assert.match(sentence(outcome), /it is closed/)
  assert.equal(folder.read('events.jsonl'), '')
})
