import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { sinkReport } from '../../../exporters/reports.ts'

function rig(): { lines: string[]; at: (ms: number, ...call: Parameters<ReturnType<typeof sinkReport>>) => void } {
  const lines: string[] = []
  let nowMs = 0
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line.trim()) })
  const reported = sinkReport('x', log, { nowMs: () => nowMs })
  return {
    lines,
    at(ms, ...call) {
      nowMs = ms
      reported(...call)
    },
  }
}

test('sink report: a sink that fails and recovers is reported twice', () => {
  const { lines, at } = rig()
  at(0, 'retrying', 'connect ECONNREFUSED')
  at(90_000, 'none', '')
  assert.equal(lines.length, 2)
  assert.match(lines[0] ?? '', /"level":40.*cannot send events, retrying: connect ECONNREFUSED/)
  assert.match(lines[1] ?? '', /"level":30.*"seconds":90.*again/)
})

test('sink report: a sink that fails and works in turn is reported once a minute', () => {
  const { lines, at } = rig()
  for (let i = 0; i < 100; i++) {
    at(i * 1000, 'retrying', 'slow')
    at(i * 1000 + 500, 'none', '')
  }
  assert.equal(lines.filter((line) => line.includes('cannot send events')).length, 2)
  assert.equal(lines.length, 4)
})

test('sink report: a state that needs manual action is reported at once, after any earlier report', () => {
  const { lines, at } = rig()
  at(0, 'retrying', 'slow')
  at(1, 'hold', 'answered 401')
  assert.match(lines[1] ?? '', /"level":50.*held until this is repaired.*401/)
})

test('sink report: a permanent failure is reported as such', () => {
  const { lines, at } = rig()
  at(0, 'retrying', 'slow')
  at(1, 'failed', 'its reader has gone')
  assert.match(lines[1] ?? '', /"level":50.*the exporter has failed permanently: its reader has gone/)
})

test('sink report: a sink without failures is not reported', () => {
  const { lines, at } = rig()
  at(0, 'none', '')
  assert.deepEqual(lines, [])
})
