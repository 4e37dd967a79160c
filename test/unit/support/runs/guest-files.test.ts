/** Guests share the test files: each file runs once, and a guest's tally has one summary of the files that it ran. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { TallyLine } from '../../../support/tally-reporter.ts'

const RUNNER = join(import.meta.dirname, '../../../support/guest/files.ts')
const folder = mkdtempSync(join(tmpdir(), 'ktrail-files-'))
after(() => rmSync(folder, { recursive: true }))

const file = (name: string, body: string): string => {
  const at = join(folder, `${name}.test.mjs`)
  writeFileSync(at, `import test from 'node:test'\ntest('${name}', ${body})\n`)
  return at
}

test('guest files: runs the first file and each that nobody has taken, and adds them up', () => {
  const passes = file('passes', '() => {}')
  const other = file('other', '() => { throw new Error("another guest runs this file") }')
  const skips = file('skips', "{ skip: 'a reason' }, () => {}")
  const fails = file('fails', '() => { throw new Error("wrong") }')
  const taken = join(folder, 'taken')
  const nameOf = (path: string): string => path.replaceAll('/', ':')
  for (const path of ['', nameOf(passes), nameOf(other)]) mkdirSync(join(taken, path))
  const tally = join(folder, 'tally')
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined }
  const run = (...files: string[]): { status: number | null; lines: TallyLine[] } => {
    const { status } = spawnSync(process.execPath, [RUNNER, tally, taken, ...files], { env })
    const lines = readFileSync(tally, 'utf8').trim().split('\n')
    return { status, lines: lines.map((line): TallyLine => JSON.parse(line)) }
  }
  const first = run(passes, other, skips)
  assert.equal(first.status, 0)
  assert.deepEqual(
    first.lines.map((line) => ('file' in line ? line.file : line.passed + line.skipped)),
    [passes, skips, skips, 2],
  )
  assert.deepEqual(readdirSync(taken).toSorted(), [nameOf(other), nameOf(passes), nameOf(skips)])
  const second = run(fails)
  assert.equal(second.status, 1)
  const { ms: _, ...sum } = second.lines.findLast((line) => line.kind === 'summary') ?? assert.fail('no summary')
  assert.deepEqual(sum, { kind: 'summary', passed: 0, failed: 1, skipped: 0 })
})
