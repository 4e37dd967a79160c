/** Starts of new files, and failures of a start. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { delivered, insist, make, NEVER, script, sentence } from '../../support/file-rig.ts'
import { until } from '../../support/fake-clock.ts'
import { Folder } from '../../support/folder.ts'
import { batch, idsOf, lines, numbers } from '../../support/lines.ts'

const HOUR = 3_600_000
/** The fake clock's start is 14:03:09.123; an hour begins after this. */
const TO_THE_HOUR = 57 * 60_000 - 9123

test('rotation: happens before the size is exceeded, and splits no line', async () => {
  using folder = new Folder()
  const { exporter } = make(folder, { max_size: 45 })
  await exporter.start()
  await delivered(exporter, lines(0, 3, 20), lines(3, 4, 20))
  assert.deepEqual(folder.ids(), numbers(0, 7))
  assert.deepEqual(folder.names(), [
    'events-2026-11-24T14-03-09.123.jsonl',
    'events-2026-11-24T14-03-09.124.jsonl',
    'events-2026-11-24T14-03-09.125.jsonl',
    'events.jsonl',
  ])
  for (const name of folder.names()) assert.ok(folder.read(name).length <= 45)
  assert.equal(exporter.counters.rotations, 3)
  await exporter.stop()
})

test('rotation: a line larger than a file gets one of its own', async () => {
  using folder = new Folder()
  const { exporter } = make(folder, { max_size: 45 })
  await exporter.start()
  await delivered(exporter, lines(0, 1, 20), lines(1, 2, 100), lines(3, 1, 20))
  assert.deepEqual(
    folder.names().map((name) => idsOf(folder.read(name))),
    [[0], [1], [2], [3]],
  )
  await exporter.stop()
})

for (const taken of ['events-2026-11-24T14-03-09.123.jsonl', 'events-2026-11-24T14-03-09.123.jsonl.gz']) {
  test(`rotation: ${taken} at the new name is not overwritten`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at(taken), 'x')
    const { exporter } = make(folder, { max_size: 45 })
    await exporter.start()
    await delivered(exporter, lines(0, 3, 20))
    assert.equal(folder.read(taken), 'x')
    assert.deepEqual(idsOf(folder.read('events-2026-11-24T14-03-09.124.jsonl')), [0, 1])
    await exporter.stop()
  })
}

for (const [errno, call] of [
  ['ENOSPC', 'rename'],
  ['EACCES', 'rename'],
  ['ENOSPC', 'open'],
  ['EACCES', 'open'],
  ['EIO', 'lstat'],
] as const) {
  test(`rotation: if ${call} fails with ${errno} the file keeps growing, the failure is reported, and it is rotated later`, async () => {
    using folder = new Folder()
    const { exporter, files, clock, warnings } = make(folder, { max_size: 45 })
    await exporter.start()
    files.plan = (what) => (what === call ? errno : undefined)
    await delivered(exporter, lines(0, 3, 20))
    await delivered(exporter, lines(3, 1, 20))
    assert.deepEqual(idsOf(folder.read('events.jsonl')), numbers(0, 4))
    assert.equal(exporter.counters.rotation_failures, 1)
    assert.match(warnings.join(), new RegExp(`^cannot rotate ".*events.jsonl": .*${errno}`))
    files.plan = () => undefined
    await clock.turn(10_000)
    await delivered(exporter, lines(4, 1, 20))
    assert.deepEqual(
      folder.names().map((name) => idsOf(folder.read(name))),
      [numbers(0, 4), [4]],
    )
    await exporter.stop()
  })
}

test('rotation: when neither a new file can be opened nor the old one moved back, the events wait', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder, { max_size: 45 })
  await exporter.start()
  await delivered(exporter, lines(0, 2, 20))
  script(files, { rename: [undefined, 'EIO'], open: ['EACCES', 'EACCES'] })
  const outcome = await exporter.send(batch(lines(2, 1, 20)), NEVER)
  assert.equal(outcome.status, 'hold')
  assert.match(sentence(outcome), /^cannot write to .* permission denied \(EACCES\)/)
  await delivered(exporter, lines(2, 1, 20))
  assert.deepEqual(
    folder.names().map((name) => idsOf(folder.read(name))),
    [[0, 1], [2]],
  )
  await exporter.stop()
})

test('rotation: a file deleted by another program is not written to while no new one can be opened', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder, { max_size: 45 })
  await exporter.start()
  await delivered(exporter, lines(0, 2, 20))
  rmSync(folder.at('events.jsonl'))
  files.plan = (call) => (call === 'open' ? 'ENOSPC' : undefined)
  for (let i = 0; i < 3; i++)
    assert.match(sentence(await exporter.send(batch(lines(2, 1, 20)), NEVER)), /no space left/)
  files.plan = () => undefined
  await delivered(exporter, lines(2, 1, 20))
  assert.deepEqual(folder.ids(), [2])
  await exporter.stop()
})

test('rotation: a file put there by another program is not overwritten', async () => {
  using folder = new Folder()
  const { exporter, files, warnings } = make(folder, { max_size: 45 })
  await exporter.start()
  await delivered(exporter, lines(0, 2, 20))
  files.plan = (call) => {
    if (call === 'open' && !folder.names().includes('events.jsonl')) symlinkSync('/none', folder.at('events.jsonl'))
    return undefined
  }
  const outcome = await exporter.send(batch(lines(2, 1, 20)), NEVER)
  files.plan = () => undefined
  assert.equal(outcome.status, 'hold')
  assert.match(warnings.join(), /cannot rotate .* got a symbolic link/)
  rmSync(folder.at('events.jsonl'))
  await delivered(exporter, lines(2, 1, 20))
  assert.deepEqual(folder.ids(), [0, 1, 2])
  await exporter.stop()
})

for (const call of ['rename', 'open', 'lstat', 'readdir'] as const) {
  test(`rotation: two failures of ${call} lose nothing`, async () => {
    using folder = new Folder()
    const { exporter, files } = make(folder, { max_size: 45 })
    await exporter.start()
    script(files, { [call]: ['ENOSPC', 'ENOSPC'] })
    await insist(exporter, batch(lines(0, 7, 20)))
    assert.deepEqual(folder.ids(), numbers(0, 7))
    await exporter.stop()
  })
}

test('rotation: by time it happens on the hour, also without further writes, and only once', async () => {
  using folder = new Folder()
  const { exporter, clock } = make(folder, { interval: HOUR })
  await exporter.start()
  assert.deepEqual(clock.pending, [], 'an empty file needs no timer')
  await delivered(exporter, lines(0, 1))
  await delivered(exporter, lines(1, 1))
  assert.deepEqual(clock.pending, [TO_THE_HOUR])
  await clock.turn(TO_THE_HOUR)
  await until('it is rotated', () => exporter.counters.rotations === 1)
  assert.deepEqual(idsOf(folder.read('events-2026-11-24T15-00-00.000.jsonl')), [0, 1])
  assert.equal(folder.read('events.jsonl'), '')
  await clock.turn(5 * HOUR)
  assert.equal(exporter.counters.rotations, 1)
  await delivered(exporter, lines(2, 1))
  assert.deepEqual(clock.pending, [HOUR])
  await exporter.stop()
  assert.deepEqual(clock.pending, [])
})

test('rotation: by time, each file holds lines of one interval, even when no timer could run', async () => {
  using folder = new Folder()
  const { exporter, clock } = make(folder, { interval: HOUR })
  await exporter.start()
  await delivered(exporter, lines(0, 1))
  // As after a suspend of the machine: wall time has passed, timers have not fired.
  clock.jump(TO_THE_HOUR + HOUR)
  await delivered(exporter, lines(1, 2))
  await delivered(exporter, lines(3, 1))
  assert.deepEqual(
    folder.names().map((name) => idsOf(folder.read(name))),
    [[0], [1, 2, 3]],
  )
  await exporter.stop()
})

test('rotation: by time, a clock set back does not keep the file forever', async () => {
  using folder = new Folder()
  const { exporter, clock } = make(folder, { interval: HOUR })
  await exporter.start()
  await delivered(exporter, lines(0, 1))
  clock.jump(-30 * 24 * HOUR)
  await delivered(exporter, lines(1, 1))
  await delivered(exporter, lines(2, 1))
  assert.deepEqual(
    folder.names().map((name) => idsOf(folder.read(name))),
    [[0], [1, 2]],
  )
  await exporter.stop()
})

for (const [what, agoMs, rotated] of [
  ['this hour', 60_000, false],
  ['the last hour', 10 * 60_000, true],
  ['yesterday', 24 * HOUR, true],
] as const) {
  test(`rotation: by time, a file last written in ${what} is ${rotated ? '' : 'not '}rotated after a start`, async () => {
    using folder = new Folder()
    const { exporter, clock } = make(folder, { interval: HOUR })
    writeFileSync(folder.at('events.jsonl'), '{"id":0}\n')
    const written = new Date(clock.wallMs() - agoMs)
    utimesSync(folder.at('events.jsonl'), written, written)
    await exporter.start()
    if (rotated) {
      await clock.turn(1)
      await until('it is rotated', () => exporter.counters.rotations === 1)
    }
    await delivered(exporter, lines(1, 1))
    assert.equal(exporter.counters.rotations, rotated ? 1 : 0)
    assert.deepEqual(folder.ids(), [0, 1])
    await exporter.stop()
  })
}

test('rotation: by time, a failed one is tried again', async () => {
  using folder = new Folder()
  const { exporter, clock, files } = make(folder, { interval: HOUR })
  await exporter.start()
  await delivered(exporter, lines(0, 1))
  script(files, { rename: ['EIO'] })
  await clock.turn(TO_THE_HOUR)
  await until('it has failed', () => exporter.counters.rotation_failures === 1 && clock.pending.length === 1)
  assert.deepEqual(clock.pending, [10_000])
  await clock.turn(10_000)
  await until('it is rotated', () => exporter.counters.rotations === 1)
  await exporter.stop()
})

test('rotation: with fsync batch, a file is synced before it is closed', async () => {
  using folder = new Folder()
  const { exporter, files } = make(folder, { max_size: 45, fsync: 'batch' })
  await exporter.start()
  files.log.length = 0
  await delivered(exporter, lines(0, 3, 20))
  const calls = files.log.filter((call) => ['writev', 'datasync', 'rename'].includes(call))
  assert.deepEqual(calls, ['writev', 'datasync', 'rename', 'writev', 'datasync'])
  await exporter.stop()
})

test('rotation: a folder with the name of a rotated file is skipped', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('events-2020-01-01T00-00-00.000.jsonl'))
  const { exporter, warnings } = make(folder, { max_size: 20, max_files: 9 })
  await exporter.start()
  await delivered(exporter, lines(0, 3, 20))
  assert.deepEqual(warnings, [])
  assert.equal(readFileSync(folder.at('events.jsonl'), 'utf8').length, 20)
  await exporter.stop()
})
