import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TallyLine } from '../../../support/tally-reporter.ts'
import { cpuMsOf, durations, sum, sumLine, tallyRun } from '../../../support/tally.ts'

const SUPPORT = path.join(import.meta.dirname, '../../../support')

const summary = (passed: number, failed: number, skipped = 0): TallyLine => ({
  kind: 'summary',
  passed,
  failed,
  skipped,
  ms: 1000,
})

test('tally: counts a run by its summary, and an incomplete run as a failure', () => {
  const rows: Array<{
    name: string
    code: number | undefined
    lines: TallyLine[] | undefined
    want: string
    note?: string
  }> = [
    { name: 'check that passed', code: 0, lines: undefined, want: '1 passed, 0 failed' },
    { name: 'check that failed', code: 1, lines: undefined, want: '0 passed, 1 failed', note: 'exit 1' },
    {
      name: 'check interrupted',
      code: undefined,
      lines: undefined,
      want: '0 passed, 1 failed',
      note: 'did not finish',
    },
    { name: 'tests that passed', code: 0, lines: [summary(3, 0)], want: '3 passed, 0 failed' },
    { name: 'tests that failed', code: 1, lines: [summary(3, 2)], want: '3 passed, 2 failed' },
    { name: 'only skipped tests', code: 0, lines: [summary(0, 0, 2)], want: '0 passed, 0 failed, 2 skipped' },
    {
      name: 'guest crashed at boot',
      code: 125,
      lines: [],
      want: '0 passed, 1 failed',
      note: 'exit 125 before its summary',
    },
    { name: 'run killed', code: undefined, lines: [], want: '0 passed, 1 failed', note: 'did not finish' },
    { name: 'no test ran', code: 0, lines: [summary(0, 0)], want: '0 passed, 1 failed', note: 'not one test ran' },
    {
      name: 'guest crashed at the end',
      code: 125,
      lines: [summary(3, 0)],
      want: '3 passed, 1 failed',
      note: 'exit 125',
    },
  ]
  for (const { name, code, lines, want, note } of rows) {
    const tally = tallyRun({ name, code, lines })
    assert.equal(sumLine(tally), want, name)
    if (note !== undefined) assert.match(tally.notes.join('\n'), new RegExp(`${name}.*${note}`), name)
  }
})

test('tally: adds runs up, and counts no run at all as a failure', () => {
  const a = { passed: 1, failed: 2, skipped: 3, notes: ['a'] }
  assert.deepEqual(sum([a, { passed: 10, failed: 20, skipped: 30, notes: ['b'] }]), {
    passed: 11,
    failed: 22,
    skipped: 33,
    notes: ['a', 'b'],
  })
  assert.equal(sum([]).failed, 1)
})

test('tally: shows the time and CPU time of the runs and of the most expensive files', () => {
  const file = (name: string, ms: number): TallyLine => ({ kind: 'file', file: path.resolve(name), ms })
  const many = Array.from({ length: 30 }, (_, i) => file(`f${i}`, i * 1000))
  const lines = durations([
    { name: 'format', code: 0, lines: undefined, cpuMs: 2_000 },
    {
      name: 'unit',
      code: 0,
      lines: [file('waits', 80_000), ...many, summary(1, 0)],
      cpuMs: 40_400,
      cpuMsOfFiles: new Map([[path.resolve('waits'), 500]]),
    },
    {
      name: 'e2e',
      code: 0,
      lines: [file('slow', 61_400), { kind: 'summary', passed: 1, failed: 0, skipped: 0, ms: 90_000 }],
    },
  ])
  assert.deepEqual(lines.slice(0, 8), [
    'duration of the runs:',
    '    90 s      - s CPU  e2e',
    '     1 s     40 s CPU  unit',
    '     - s      2 s CPU  format',
    '     - s     42 s CPU  all of them',
    'most expensive files:',
    '    61 s      - s CPU  slow (e2e)',
    '    29 s      - s CPU  f29 (unit)',
  ])
  assert.equal(lines.length, 6 + 20)
  assert.equal(cpuMsOf('0m0.004s 0m0.001s\n1m2.500s 0m1.000s\n'), 63_505)
})

/** Takes a second of CPU time. */
const BUSY = 'for (let i = 0; i % 1e6 !== 0 || process.cpuUsage().user < 1e6; i++);'

/** Runs `body` as a test file through the real runner and reporter, then tally.ts over the result. */
function runAndTally(body: string): { status: number | null; lines: string[] } {
  const folder = mkdtempSync(path.join(tmpdir(), 'ktrail-tally-'))
  try {
    const file = path.join(folder, 'case.test.mjs')
    writeFileSync(file, `import { describe, test } from 'node:test'\n${body}`)
    writeFileSync(path.join(folder, 'unit.started'), '')
    const reporter = [
      '--import',
      path.join(SUPPORT, 'preload.js'),
      `--test-reporter=${path.join(SUPPORT, 'tally-reporter.ts')}`,
    ]
    reporter.push(`--test-reporter-destination=${path.join(folder, 'unit.tally')}`)
    // Without this the inner runner takes itself for a child of this one and reports nothing.
    const env = { ...process.env, NODE_TEST_CONTEXT: undefined, KTRAIL_TEST_CPU: path.join(folder, 'unit.cpu') }
    const run = spawnSync(process.execPath, ['--test', ...reporter, file], { env })
    writeFileSync(path.join(folder, 'unit.code'), String(run.status))
    const tally = spawnSync(process.execPath, [path.join(SUPPORT, 'tally.ts'), folder], { encoding: 'utf8' })
    return { status: tally.status, lines: tally.stdout.trimEnd().split('\n') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('tally: reads the lines of the reporter for passed, skipped and failed tests of node:test', () => {
  const passing = runAndTally(
    `import { execFileSync } from 'node:child_process'
    describe('s', () => { test('a', () => execFileSync(process.execPath, ['-e', '${BUSY}'])); test('b', { skip: 'no kernel' }, () => {}) })`,
  )
  assert.equal(passing.status, 0)
  // The time of the program that the test has run.
  const [, cpu = ''] = / (\d+) s CPU {2}.*case\.test\.mjs \(unit\)$/m.exec(passing.lines.join('\n')) ?? []
  assert.ok(Number(cpu) >= 1, passing.lines.join('\n'))
  assert.match(passing.lines[0] ?? '', /^skipped: unit: b \(.*case\.test\.mjs\): no kernel$/)
  assert.equal(passing.lines.at(-1), '1 passed, 0 failed, 1 skipped')

  const failing = runAndTally(`describe('s', () => { test('a', () => {}); test('c', () => { throw new Error('x') }) })`)
  assert.equal(failing.status, 1)
  assert.match(failing.lines.at(-2) ?? '', /^failed: unit: c \(.*case\.test\.mjs\): x$/)
  assert.equal(failing.lines.at(-1), '1 passed, 1 failed')
})

test('tally: a test file that crashes is a failure', () => {
  const { status, lines } = runAndTally(
    `test('a', () => {}); test('b', () => { console.error('the last words'); process.kill(process.pid, 'SIGKILL') })`,
  )
  assert.equal(status, 1)
  assert.match(
    lines.join('\n'),
    /^failed: unit: .*case\.test\.mjs.*: its process ended with SIGKILL; the last of its stderr: the last words$/m,
  )
  assert.match(lines.at(-1) ?? '', /^\d+ passed, [1-9]\d* failed$/)
})
