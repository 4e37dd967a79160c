/** `ktrail check`: folders, formats of its output, standard input. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { Folder } from '../../../exporters/support/folder.ts'

/** The exit code and the lines of standard output. */
async function check(...args: string[]): Promise<[number, string]> {
  let out = ''
  const code = await ktrail(['check', ...args], {
    env: {},
    print: (text) => Promise.resolve(((out += String(text)), true)),
    printError: () => undefined,
    nowMs: () => 0,
  })
  return [code, out]
}

test('check: folders that are missing, empty, or hold too many policies are mistakes with a reason', async () => {
  using folder = new Folder()
  for (const name of ['empty', 'full']) mkdirSync(folder.at(name))
  for (let i = 0; i <= 1_000; i++) writeFileSync(folder.at(`full/${i}.yaml`), '')
  const got = await check(...['none', 'empty', 'full'].map((name) => folder.at(name)), 'library:pic', 'default')
  const want = [
    'none: cannot read the file: no such file',
    'empty: the folder has no *.yaml or *.yml file; subfolders are not checked',
    'full: cannot read: it has more than 1000 policies: split them into several folders',
  ]
  const library = [
    'library:pic: the library has no policy or bundle "pic" (did you mean "pci"?)',
    'default: no such file (did you mean "library:default"?)',
  ]
  assert.deepEqual(got, [78, [...want.map((line) => folder.at(line)), ...library].map((line) => `${line}\n`).join('')])
  assert.equal((await check('library:pci'))[0], 0)
})

test('check -o json, -o github: place and severity of each problem, whatever the name of the file', async () => {
  using folder = new Folder()
  const file = folder.at('a,b:%\n\u001b.yaml')
  writeFileSync(file, 'exporters: {a: {type: otlp, endpoint: "http://l:3100"}}\n')
  const missing = folder.at('none.yaml')
  const [code, json] = await check('-o', 'json', file, missing)
  const message = 'exporters.a.endpoint: Loki takes OTLP only below /otlp; write http://l:3100/otlp'
  const unread = 'cannot read the file: no such file'
  assert.deepEqual(
    json
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line)),
    [
      { file, line: 1, column: 39, message, severity: 'warning' },
      { file: missing, message: unread, severity: 'error' },
    ],
  )
  const escaped = `${folder.path}/a%2Cb%3A%25%0A\\x1b.yaml`
  const lines = [`::warning file=${escaped},line=1,col=39::${message}`, `::error file=${missing}::${unread}`]
  assert.deepEqual([code, await check('-o', 'github', file, missing)], [78, [78, `${lines.join('\n')}\n`]])
})

const LAUNCHER = join(import.meta.dirname, '../../../../../ktrail')

test('check -: reads a config or a policy from standard input, at most 1 MiB', () => {
  for (const [input, want] of [
    ['exporters: {a: {type: otpl}}', /^-:1:23: exporters\.a\.type: .*did you mean "otlp"/],
    ['kind: TracingPolicy', /^-:1:1: apiVersion: missing/],
    ['', /^-:1:1: config file is empty/],
    ['# \xff', /^-:1:3: byte 0xFF at offset 2 is not UTF-8/],
    ['#'.repeat((1 << 20) + 1), /^-: standard input is larger than 1048576 bytes\n$/],
  ] as const) {
    const { status, stdout } = spawnSync(LAUNCHER, ['check', '-'], { input: Buffer.from(input, 'latin1') })
    assert.match(String(stdout), want)
    assert.equal(status, 78)
  }
  using folder = new Folder()
  // Drop-in files belong to a config file.
  mkdirSync(folder.at('config.d'))
  writeFileSync(folder.at('config.d/a.yaml'), 'unknown: 1\n')
  const { status, stdout } = spawnSync(LAUNCHER, ['check', '-'], {
    cwd: folder.path,
    input: 'exporters: {a: {type: stdout}}',
  })
  assert.deepEqual([status, String(stdout)], [0, ''])
})
