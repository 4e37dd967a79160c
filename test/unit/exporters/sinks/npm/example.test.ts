/** The example for authors of packages, used as they would use it: copied, with ktrail linked into its folder. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { loadNpmExporter } from '../../../../../exporters/sinks/npm/load.ts'
import type { Outcome } from '../../../../../exporters/contract/exporter.ts'
import { FakeSink } from '../../../../support/otlp/server.ts'
import type { Answer } from '../../../../support/otlp/server.ts'
import { batch, lines } from '../../support/lines.ts'
import { EXAMPLE, ROOT, UserFolder } from './support.ts'

const NAME = 'ktrail-exporter-http-lines'

function authorsFolder(): UserFolder {
  const folder = new UserFolder()
  folder.copy(EXAMPLE, 'pkg')
  folder.link('ktrail', ROOT)
  return folder
}

interface Ran {
  readonly status: number | null
  readonly out: string
}

async function run(folder: UserFolder, command: string, args: string[]): Promise<Ran> {
  // The runner of this file must not report the inner run as its own.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = spawn(command, args, {
    cwd: folder.at('pkg'),
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
  })
  const [out] = await Promise.all([text(child.stdout), once(child, 'close')])
  return { status: child.exitCode, out }
}

test('example: has at most 50 lines', () => {
  assert.ok(readFileSync(join(EXAMPLE, 'index.js'), 'utf8').trimEnd().split('\n').length <= 50)
})

test('example: passes its contract test in a folder of its own, none of it skipped', async () => {
  using folder = authorsFolder()
  const { status, out } = await run(folder, process.execPath, ['--test', '--test-reporter=tap'])
  assert.equal(status, 0, out)
  assert.match(out, /^# pass 9$/m, out)
  assert.match(out, /^# skipped 0$/m, out)
})

/** Errors put into the example, each with the tests that must find it. */
const slips: ReadonlyArray<readonly [name: string, from: string, to: string, found: readonly RegExp[]]> = [
  ['loses events', 'if (ok)', 'if (ok || status === 503)', [/no event is lost/]],
  ['drops parts', 'batch.parts.map', 'batch.parts.slice(0, 2).map', [/many parts/, /no event is lost/]],
  ['throws', 'catch (cause) {', 'catch (cause) { throw cause', [/aborted from the start/]],
  [
    'does not hear of an abort',
    'body, signal, redirect',
    'body, redirect',
    [/aborted from the start/, /aborted on its way/],
  ],
  ['writes into its bytes', 'const body', 'batch.parts[0].bytes[0]++; const body', [/does not write/]],
  ['invents an outcome', "status: 'delivered' }", "status: 'partial', refusals: [] }", [/many parts/, /at once/]],
  ['sends after its end', 'open = false\n    },', '},', [/stopping twice/, /await using/]],
]
test('example: an error in it does not pass, and the failing test shows which', async () => {
  const source = readFileSync(join(EXAMPLE, 'index.js'), 'utf8')
  await Promise.all(
    slips.map(async ([name, from, to, found]) => {
      using folder = authorsFolder()
      assert.ok(source.includes(from), `${name}: ${from}`)
      writeFileSync(folder.at('pkg/index.js'), source.replace(from, to))
      const only = found.map(({ source: words }) => `--test-name-pattern=${words}`)
      const { status, out } = await run(folder, process.execPath, ['--test', '--test-reporter=tap', ...only])
      assert.notEqual(status, 0, name)
      const failed = out.split('\n').filter((line) => line.startsWith('not ok'))
      for (const want of found) assert.match(failed.join('\n'), want, `${name}:\n${out}`)
    }),
  )
})

test('example: a contract test whose sink cannot stop answering fails, unless it has a reason', async () => {
  const stall = 'stall: () => (silence = new Silence()),'
  const ranWith = async (change: string): Promise<Ran> => {
    using folder = authorsFolder()
    const file = folder.at('pkg/contract.test.js')
    const source = readFileSync(file, 'utf8')
    assert.ok(source.includes(stall))
    writeFileSync(file, source.replace(stall, change))
    return await run(folder, process.execPath, ['--test', '--test-reporter=tap'])
  }
  const [without, withReason] = await Promise.all([ranWith(''), ranWith(`stall: () => 'it always answers',`)])
  assert.notEqual(without.status, 0)
  assert.match(without.out, /harness\.stall: expected a function that stops the sink from answering/)
  assert.equal(withReason.status, 0, withReason.out)
  assert.match(withReason.out, /aborted on its way .*# SKIP http-lines: it always answers$/m)
})

const CHECK = `--noEmit --allowJs --checkJs --strict --target es2024 --lib es2024,esnext.disposable --module nodenext
  --skipLibCheck --allowImportingTsExtensions --types node --typeRoots`.split(/\s+/)

test('example: keeps to the types of ktrail/exporter, which find an error', async () => {
  using folder = authorsFolder()
  const check = (): Promise<Ran> =>
    run(folder, join(ROOT, 'node_modules/.bin/tsc'), [...CHECK, join(ROOT, 'node_modules/@types'), 'index.js'])
  const right = await check()
  assert.equal(right.status, 0, right.out)
  const file = folder.at('pkg/index.js')
  writeFileSync(file, readFileSync(file, 'utf8').replace(`status: 'delivered'`, `status: 'done'`))
  assert.match((await check()).out, /index\.js.*error.*"done"/)
})

const answers: ReadonlyArray<readonly [answer: Answer, want: Outcome['status'], reasonOrMs?: string | number]> = [
  [{ status: 200 }, 'delivered'],
  [{ status: 204 }, 'delivered'],
  [{ status: 302, headers: { location: '/elsewhere' } }, 'hold'],
  [{ status: 400, body: 'no JSON' }, 'rejected', 'http_400'],
  [{ status: 401 }, 'hold'],
  [{ status: 404 }, 'hold'],
  [{ status: 413 }, 'rejected', 'http_413'],
  [{ status: 429, headers: { 'retry-after': '7' } }, 'retryable', 7000],
  [{ status: 429, headers: { 'retry-after': '0' } }, 'retryable'],
  [{ status: 503 }, 'retryable'],
  [{ status: 200, fault: 'reset' }, 'retryable'],
]
test('example: the answer of the sink decides the outcome of the batch', async () => {
  using folder = new UserFolder()
  folder.link(NAME, EXAMPLE)
  let answer: Answer = { status: 200 }
  await using sink = await FakeSink.start(() => answer)
  const given = { configFile: folder.configFile, name: 'web', nodeName: 'n', epoch: 'e', warn: () => {} }
  await using exporter = await loadNpmExporter(
    { type: `npm:${NAME}`, options: { url: sink.url, token: 's3cret' } },
    given,
  )
  await exporter.start()
  for (const [each, want, more] of answers) {
    answer = each
    const outcome = await exporter.send(batch(lines(0, 2), lines(2, 1)), new AbortController().signal)
    assert.equal(outcome.status, want, JSON.stringify(each))
    const reasonOrMs =
      outcome.status === 'rejected' ? outcome.reason : outcome.status === 'retryable' ? outcome.afterMs : undefined
    assert.equal(reasonOrMs, more, JSON.stringify(each))
  }
  const [first] = sink.requests
  assert.equal(first?.headers['content-type'], 'application/x-ndjson')
  assert.equal(first?.headers['authorization'], 'Bearer s3cret')
  assert.equal(first?.body.toString(), '{"id":0}\n{"id":1}\n{"id":2}\n')
})

test('example: an invalid URL is refused with a message', async () => {
  using folder = new UserFolder()
  folder.link(NAME, EXAMPLE)
  const given = { configFile: folder.configFile, name: 'web', nodeName: 'n', epoch: 'e', warn: () => {} }
  await assert.rejects(loadNpmExporter({ type: `npm:${NAME}`, options: {} }, given), {
    code: 'UNUSABLE',
    message: `npm:${NAME}: options.url: expected a URL, got undefined`,
  })
})
