import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { LastRuns } from '../../../../collector/telemetry/last-runs.ts'
import { RunRecords } from '../../../../collector/telemetry/run-records.ts'
import type { RunEvent } from '../../../../exporters/contract/event.ts'
import type { NumberedExporter } from '../../../../exporters/index.ts'
import { Folder } from '../../exporters/support/folder.ts'

const named = (...names: readonly string[]): Array<{ name: string; destination: string }> =>
  names.map((name) => ({ name, destination: 'd' }))

function logged(): { warnings: string[]; warn: (fields: object, message: string) => void } {
  const warnings: string[] = []
  return { warnings, warn: (_fields, message) => void warnings.push(message) }
}

test('last runs: a run knows the one before it, by exporter, also of an exporter that paused', async () => {
  using temporary = new Folder()
  const dir = path.join(temporary.path, 'state')
  const log = logged()
  const first = await LastRuns.open(dir, 'e1', log)
  assert.deepEqual(first.previous, {})
  await first.note(named('archive', 'bus'))
  const second = await LastRuns.open(dir, 'e2', log)
  assert.deepEqual(second.previous, { archive: 'e1', bus: 'e1' })
  assert.deepEqual(second.destinations, { archive: 'd', bus: 'd' })
  await second.note(named('archive'))
  assert.deepEqual((await LastRuns.open(dir, 'e3', log)).previous, { archive: 'e2', bus: 'e1' })
  assert.deepEqual(log.warnings, [])
})

test('last runs: the same exporters again are noted when the first write has ended', async () => {
  using temporary = new Folder()
  const first = await LastRuns.open(temporary.path, 'e1', logged())
  void first.note(named('archive'))
  await first.note(named('archive'))
  assert.deepEqual((await LastRuns.open(temporary.path, 'e2', logged())).previous, { archive: 'e1' })
})

test('last runs: a file that cannot be used is reported, and replaced', async () => {
  using temporary = new Folder()
  const dir = temporary.path
  const file = path.join(dir, 'runs.json')
  for (const bad of ['', '{"a":', 'null', '{"a":5,"b":"two words"}']) {
    await writeFile(file, bad)
    assert.deepEqual((await LastRuns.open(dir, 'e2', logged())).previous, {}, bad)
  }
  const log = logged()
  await writeFile(file, '{')
  await (await LastRuns.open(dir, 'e2', log)).note(named('archive'))
  assert.match(log.warnings.join(), /^cannot read the last runs/)
  assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { archive: 'e2', '/destinations': { archive: 'd' } })
})

test('last runs: a FIFO in place of the file does not block the start, and nothing is written through a link', async () => {
  using temporary = new Folder()
  execFileSync('mkfifo', [temporary.at('runs.json')])
  const log = logged()
  const runs = await LastRuns.open(temporary.path, 'e1', log)
  assert.match(log.warnings.join(), /^cannot read the last runs/)
  await writeFile(temporary.at('of-others'), 'kept')
  await symlink('of-others', temporary.at('runs.json.new'))
  await runs.note(named('archive'))
  assert.equal(await readFile(temporary.at('of-others'), 'utf8'), 'kept')
  assert.deepEqual((await LastRuns.open(temporary.path, 'e2', log)).previous, { archive: 'e1' })
})

test('last runs: an unwritable folder is reported once, and the file is written when that is possible', async () => {
  using temporary = new Folder()
  const file = path.join(temporary.path, 'file')
  await writeFile(file, '')
  const log = logged()
  const runs = await LastRuns.open(path.join(file, 'state'), 'e1', log)
  await runs.note(named('archive'))
  await runs.note(named('archive'))
  const reported = (): number => log.warnings.filter((text) => text.startsWith('cannot write the last runs')).length
  assert.equal(reported(), 1)
  await rm(file)
  await runs.note(named('archive'))
  assert.deepEqual((await LastRuns.open(path.join(file, 'state'), 'e2', log)).previous, { archive: 'e1' })
  assert.equal(reported(), 1)
})

test('last runs: the file of an older release has no destinations', async () => {
  using temporary = new Folder()
  await writeFile(path.join(temporary.path, 'runs.json'), '{"archive":"e1"}')
  const runs = await LastRuns.open(temporary.path, 'e2', logged())
  assert.deepEqual([runs.previous, runs.destinations], [{ archive: 'e1' }, {}])
})

const exporter = (destination: string, next: number, filtered = false): NumberedExporter => {
  return { name: 'archive', destination, filtered, next }
}

test('run records: name exporters with a filter, and exporters that write elsewhere since the last run or a reload', () => {
  let now: readonly NumberedExporter[] = [exporter('b', 0), { ...exporter('x', 5, true), name: 'bus' }]
  const lastRuns = {
    previous: {},
    destinations: { archive: 'a', bus: 'x' },
    note: async (): Promise<void> => undefined,
  }
  const from = { sec: 0, nsec: 0 }
  const records = new RunRecords({ heartbeatMs: 60_000, lastRuns, exporters: () => now, from })
  const made = (phase: RunEvent['phase']): unknown[] => {
    const { filtered, moved } = records.make(phase, { sec: 0, nsec: 0 }, 0) ?? {}
    return [filtered, moved]
  }
  assert.deepEqual(made('start'), [['bus'], { archive: 0 }])
  assert.deepEqual(made('heartbeat'), [['bus'], { archive: 0 }])
  now = [exporter('b', 8, true), { ...exporter('y', 9, true), name: 'bus' }]
  records.hurry()
  assert.ok(records.due)
  assert.deepEqual(made('heartbeat'), [['archive', 'bus'], { archive: 0, bus: 9 }])
})
