/** External log rotators such as logrotate: moving the file with and without a signal, and copying it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { FileExporter } from '../../../../../exporters/sinks/file/exporter.ts'
import { batch, idsOf, lines, numbers } from '../../support/lines.ts'
import { delivered, fileConfig, make, NEVER, sentence } from '../../support/file-rig.ts'
import { Folder } from '../../support/folder.ts'

test('rotator: reopen after the file has been moved writes to the path again', async () => {
  using folder = new Folder()
  const { exporter } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(0, 2))
  renameSync(folder.at('events.jsonl'), folder.at('events.jsonl.1'))
  await delivered(exporter, lines(2, 1))
  await exporter.reopen()
  await delivered(exporter, lines(3, 1))
  assert.deepEqual(idsOf(folder.read('events.jsonl.1')), [0, 1, 2])
  assert.deepEqual(idsOf(folder.read('events.jsonl')), [3])
  assert.equal(exporter.counters.reopens, 1)
  await exporter.stop()
})

test('rotator: a file created by the rotator (create 0640) is used and keeps its mode', async () => {
  using folder = new Folder()
  const { exporter } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(0, 1))
  renameSync(folder.at('events.jsonl'), folder.at('events.jsonl.1'))
  writeFileSync(folder.at('events.jsonl'), '', { mode: 0o640 })
  await exporter.reopen()
  await delivered(exporter, lines(1, 1))
  assert.deepEqual(idsOf(folder.read('events.jsonl')), [1])
  await exporter.stop()
})

test('rotator: a failed reopen is reported and the open file stays in use', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  await exporter.start()
  files.plan = (call) => (call === 'open' ? 'EACCES' : undefined)
  await assert.rejects(exporter.reopen(), /cannot reopen .*permission denied/)
  await delivered(exporter, lines(0, 1))
  assert.deepEqual(folder.ids(), [0])
  await exporter.stop()
})

for (const how of ['moved', 'deleted'] as const) {
  test(`rotator: a file that was ${how} is noticed within a second of sends, with at most one check a second`, async () => {
    using folder = new Folder()
    const { exporter, clock, files } = make(folder)
    await exporter.start()
    await delivered(exporter, lines(0, 1))
    if (how === 'moved') renameSync(folder.at('events.jsonl'), folder.at('moved'))
    else rmSync(folder.at('events.jsonl'))
    await clock.turn(1000)
    files.log.length = 0
    await delivered(exporter, lines(1, 1))
    await delivered(exporter, lines(2, 1))
    assert.deepEqual(idsOf(folder.read('events.jsonl')), [1, 2])
    assert.equal(files.log.filter((call) => call === 'lstat').length, 1)
    await exporter.stop()
  })
}

test('rotator: while the path of a deleted file cannot be opened the events wait, and none is written into the deleted one', async () => {
  using folder = new Folder()
  const { exporter, clock, files } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(0, 1))
  rmSync(folder.at('events.jsonl'))
  await clock.turn(1000)
  files.plan = (call) => (call === 'open' ? 'ENOSPC' : undefined)
  for (let i = 0; i < 3; i++) assert.match(sentence(await exporter.send(batch(lines(1, 1)), NEVER)), /no space left/)
  files.plan = () => undefined
  await delivered(exporter, lines(1, 1))
  assert.deepEqual(folder.ids(), [1])
  await exporter.stop()
})

test('rotator: writing continues at the end of a truncated file, with its new size', async () => {
  using folder = new Folder()
  const { exporter, clock } = make(folder, { max_size: 45 })
  await exporter.start()
  await delivered(exporter, lines(0, 2, 20))
  truncateSync(folder.at('events.jsonl'))
  await clock.turn(1000)
  await delivered(exporter, lines(2, 2, 20))
  assert.deepEqual(folder.names(), ['events.jsonl'])
  assert.deepEqual(folder.ids(), [2, 3])
  await exporter.stop()
})

test('rotator: copytruncate under load tears no line and leaves no hole', async () => {
  using folder = new Folder()
  const { exporter } = make(folder)
  await exporter.start()
  const copies = numbers(0, 5)
  let seq = 0
  for (const copy of copies) {
    const sends = numbers(0, 20).map(() => delivered(exporter, lines((seq += 10) - 10, 10, 50)))
    await Promise.all(sends.slice(0, 10))
    copyFileSync(folder.at('events.jsonl'), folder.at(`events.jsonl.${copy}`))
    truncateSync(folder.at('events.jsonl'))
    await Promise.all(sends)
  }
  const ids = [...copies.map((copy) => `events.jsonl.${copy}`), 'events.jsonl'].flatMap((name) =>
    idsOf(folder.read(name)),
  )
  // No other thread writes between copy and truncate here, so no line is lost.
  assert.deepEqual(ids, numbers(0, seq))
  await exporter.stop()
})

test('rotator: truncating a torn line does not remove lines written after a copytruncate', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder)
  await exporter.start()
  await delivered(exporter, lines(0, 1, 20))
  let writes = 0
  files.plan = (call) => {
    if (call === 'truncate') return 'EIO'
    if (call === 'writev') return ++writes === 1 ? 5 : 'EIO'
    return undefined
  }
  assert.match(sentence(await exporter.send(batch(lines(1, 1, 20)), NEVER)), /EIO/)
  truncateSync(folder.at('events.jsonl'))
  files.plan = () => undefined
  await delivered(exporter, lines(1, 2, 20))
  assert.deepEqual(folder.ids(), [1, 2])
  await exporter.stop()
})

const CONFIGS: ReadonlyArray<readonly [name: string, directives: string, signal: boolean]> = [
  ['create and a signal', 'create 0600', true],
  ['create without a signal', 'create 0600', false],
  ['nocreate', 'nocreate', true],
  ['copytruncate', 'copytruncate', false],
]
for (const [name, directives, signal] of CONFIGS) {
  test(`rotator: the real logrotate with ${name}`, async (t) => {
    if (spawnSync('logrotate', ['--version']).error !== undefined) {
      t.skip('logrotate is not installed')
      return
    }
    using folder = new Folder()
    const path = folder.at('events.jsonl')
    writeFileSync(folder.at('conf'), `"${path}" {\n  rotate 9\n  ${directives}\n}\n`, { mode: 0o644 })
    await using exporter = new FileExporter(fileConfig({ path, max_files: 1 }))
    await exporter.start()
    for (const round of [0, 1, 2]) {
      await delivered(exporter, lines(round * 10, 10))
      const args = ['--force', '--state', folder.at('state'), folder.at('conf')]
      const { status, stderr } = spawnSync('logrotate', args, { encoding: 'utf8' })
      assert.equal(status, 0, stderr)
      if (signal) await exporter.reopen()
    }
    await delivered(exporter, lines(30, 10))
    const logs = readdirSync(folder.path).filter((file) => file.startsWith('events.jsonl'))
    const ids = logs.flatMap((file) => idsOf(folder.read(file))).toSorted((a, b) => a - b)
    assert.deepEqual(ids, numbers(0, 40))
    assert.ok(logs.length === 4 || !signal)
  })
}
