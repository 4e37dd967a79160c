import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { LastRuns } from '../../../../collector/telemetry/last-runs.ts'
import { Folder } from '../../exporters/support/folder.ts'

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
  await first.note(['archive', 'bus'])
  const second = await LastRuns.open(dir, 'e2', log)
  assert.deepEqual(second.previous, { archive: 'e1', bus: 'e1' })
  await second.note(['archive'])
  assert.deepEqual((await LastRuns.open(dir, 'e3', log)).previous, { archive: 'e2', bus: 'e1' })
  assert.deepEqual(log.warnings, [])
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
  await (await LastRuns.open(dir, 'e2', log)).note(['archive'])
  assert.match(log.warnings.join(), /^cannot read the last runs/)
  assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { archive: 'e2' })
})

test('last runs: a folder that cannot be written is reported once, and the agent goes on', async () => {
  using temporary = new Folder()
  const file = path.join(temporary.path, 'file')
  await writeFile(file, '')
  const log = logged()
  const runs = await LastRuns.open(path.join(file, 'state'), 'e1', log)
  await runs.note(['archive'])
  await runs.note(['archive'])
  assert.equal(log.warnings.filter((text) => text.startsWith('cannot write the last runs')).length, 1)
})
