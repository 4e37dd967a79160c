/** How long an agent whose start failed waits before it ends, as a service of systemd and otherwise. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FailedStarts } from '../../../../../collector/host/systemd/failed-starts.ts'

const folder = mkdtempSync(join(tmpdir(), 'ktrail-failed-starts-'))
after(() => rmSync(folder, { recursive: true }))

const env = { NOTIFY_SOCKET: '@none', RUNTIME_DIRECTORY: `${folder}:/run/other` }
/** Each start is a process of its own. */
const add = (times: number): number[] => Array.from({ length: times }, () => new FailedStarts(env).add())

test('failed starts: no wait at the first, then twice as long each time up to a minute; none after a success', () => {
  assert.deepEqual(add(9), [0, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000])
  new FailedStarts(env).clear()
  assert.deepEqual(add(2), [0, 4_000])
})

test('failed starts: a damaged count is 0, a huge one waits no longer', () => {
  const file = join(folder, 'failed-starts')
  for (const [text, want] of [
    ['-7', 0],
    ['x', 0],
    ['', 0],
    ['1e308', 60_000],
    ['Infinity', 60_000],
  ] as const) {
    writeFileSync(file, text)
    assert.deepEqual(add(1), [want], text)
  }
})

test('failed starts: if the count cannot be stored, the wait is the longest', () => {
  const gone = new FailedStarts({ ...env, RUNTIME_DIRECTORY: join(folder, 'none') })
  assert.equal(gone.add(), 60_000)
})

test('failed starts: without systemd, the agent stores no count and does not wait', () => {
  new FailedStarts(env).clear()
  for (const missing of ['NOTIFY_SOCKET', 'RUNTIME_DIRECTORY']) {
    const other = new FailedStarts({ ...env, [missing]: undefined })
    assert.deepEqual([other.add(), other.add()], [0, 0])
    other.clear()
  }
  assert.deepEqual(readdirSync(folder), [])
})
