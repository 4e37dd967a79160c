/** The tests that become another user pass in a checkout below a folder that only root may enter, such as /root. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import type { SpawnSyncReturns } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'

const ROOT = path.join(import.meta.dirname, '../../..')
const HELPER = 'test/support/other-user.ts'
const CALL = `asNobody${'('}`

const sources = (pattern: string, text: string): string[] =>
  globSync(pattern, { cwd: ROOT }).filter((file) => readFileSync(path.join(ROOT, file), 'utf8').includes(text))

test('closed checkout: tests become another user only by asNobody', () => {
  assert.deepEqual(sources('test/**/*.ts', `.sete${'uid'}`), [HELPER])
})

/** The number of tests that passed in a run without failures. */
function passes({ status, stdout }: SpawnSyncReturns<string>): number {
  assert.equal(status, 0, stdout)
  return Number(/^. pass (\d+)$/m.exec(stdout)?.[1])
}

test('closed checkout: the tests that become another user pass in it', { timeout: 120_000 }, (t) => {
  if (process.geteuid?.() !== 0) return t.skip('needs root: only root becomes another user')
  const folder = mkdtempSync(path.join(tmpdir(), 'ktrail-closed-'))
  const checkout = path.join(folder, 'checkout')
  mkdirSync(checkout)
  // The checkout itself, seen under another name in a mount namespace: mkdtemp has given `folder` the mode 0700.
  const inside = 'mount --bind "$0" "$1" && cd "$1" && shift && exec "$@"'
  const run = (...command: string[]): SpawnSyncReturns<string> =>
    spawnSync('unshare', ['--mount', 'sh', '-c', inside, ROOT, checkout, ...command], {
      encoding: 'utf8',
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    })
  try {
    if (run('true').status !== 0) return t.skip(`cannot mount here: ${run('true').stderr}`)
    const tests = sources('test/unit/**/*.test.ts', CALL)
    const calls = tests.flatMap((file) => readFileSync(path.join(ROOT, file), 'utf8').split(CALL).slice(1))
    assert.ok(calls.length >= 3, tests.join())
    // The titles of these tests contain "may not".
    const passed = passes(run(process.execPath, '--test', '--test-name-pattern=may not', ...tests))
    assert.ok(passed >= calls.length, `${passed} tests named "may not" for ${calls.length} calls of asNobody`)
    // A program of another user, which gets the right to read the files of root.
    const agents = 'test/integration-host/agent/bad-input.test.ts'
    assert.equal(passes(run(process.execPath, '--test', '--test-name-pattern=no root', agents)), 1)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
