/** Findings over time: logged once, counted once, kept for half a minute. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import type { Finding } from '../../../../collector/kernel/watched/finding.ts'
import { FINDING_KINDS } from '../../../../collector/kernel/watched/finding.ts'
import { Guard } from '../../../../collector/guard/guard.ts'

const FTRACE: Finding = {
  kind: 'ftrace_disabled',
  on: '/proc/sys/kernel/ftrace_enabled',
  expected: '1',
  got: '0',
  repaired: false,
}
const GATE: Finding = { kind: 'gate_changed', on: 'f', expected: 'program 7', got: 'program 9', repaired: true }

function setup(): { guard: Guard; now: Finding[]; log: string[]; counted(): string[]; kinds(): string[] } {
  const now: Finding[] = []
  const log: string[] = []
  const write = (line: string): void => {
    const { level, msg } = JSON.parse(line)
    log.push(`${level} ${msg}`)
  }
  const guard = new Guard({ check: () => now, log: pino({ base: null }, { write }) })
  return {
    guard,
    now,
    log,
    counted: () => [...guard.counts].flatMap(([kind, count]) => (count === 0 ? [] : [`${kind}=${count}`])),
    kinds: () => guard.findings().map(({ kind }) => kind),
  }
}

test('guard: every kind has a count, even while it is 0', () => {
  const { guard, log } = setup()
  assert.equal(guard.look(0), false)
  assert.deepEqual(guard.findings(), [])
  assert.deepEqual(
    [...guard.counts],
    FINDING_KINDS.map((kind) => [kind, 0]),
  )
  assert.deepEqual(log, [])
})

test('guard: a finding that stays is logged and counted once, and leaves half a minute after it was last seen', () => {
  const { guard, now, log, counted, kinds } = setup()
  now.push(FTRACE)
  assert.deepEqual(
    [0, 6_000, 100_000].map((ms) => guard.look(ms)),
    [true, false, false],
  )
  now.length = 0
  guard.look(129_999)
  assert.deepEqual(kinds(), ['ftrace_disabled'])
  guard.look(130_000)
  assert.deepEqual(kinds(), [])
  assert.deepEqual(counted(), ['ftrace_disabled=1'])
  assert.deepEqual(log, [
    '50 tampering: /proc/sys/kernel/ftrace_enabled: 0, expected 1: write 1 to it',
    '30 the tampering is gone',
  ])
  now.push(FTRACE)
  assert.equal(guard.look(131_000), true)
  assert.deepEqual(counted(), ['ftrace_disabled=2'])
})

test('guard: each change after a repair is a new finding', () => {
  const { guard, now, log, counted, kinds } = setup()
  now.push(GATE, { ...GATE, on: 'g' })
  assert.deepEqual([guard.look(0), guard.look(2_000)], [true, true])
  assert.deepEqual(counted(), ['gate_changed=4'])
  assert.deepEqual(kinds(), ['gate_changed', 'gate_changed'])
  assert.deepEqual(log.slice(0, 2), [
    '50 tampering: f: program 9, expected program 7: repaired',
    '50 tampering: g: program 9, expected program 7: repaired',
  ])
})
