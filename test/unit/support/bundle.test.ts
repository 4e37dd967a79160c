import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { transformSync } from 'esbuild'
import { launchOf } from '../../support/launcher.ts'

const ROOT = path.join(import.meta.dirname, '../../..')
/** The JavaScript that the program may have: all of it is read at each start. */
const MOST_BYTES = 3_150_000
// The folder is in the checkout, because the program finds its files by the next package.json.
mkdirSync(path.join(ROOT, 'build'), { recursive: true })
const folder = mkdtempSync(path.join(ROOT, 'build/bundle-'))
after(() => rmSync(folder, { recursive: true }))
execFileSync(process.execPath, ['deploy/package/bundle.ts', folder], { cwd: ROOT })
const main = path.join(folder, 'collector/main.js')

test('bundle: a start reads one file, with other characters than ASCII in comments only, and loads neither a package nor HTTPS', () => {
  const program = readFileSync(path.join(folder, 'collector/ktrail.cjs'))
  assert.ok(program.length < MOST_BYTES, `${program.length} bytes`)
  assert.match(transformSync(program.toString(), { minifyWhitespace: true }).code, /^[\0-\x7f]*$/)
  const spy = path.join(folder, 'spy.cjs')
  writeFileSync(
    spy,
    'process.on("exit", () => console.log(JSON.stringify([Object.keys(require.cache), process.moduleLoadList])))\n',
  )
  const words = [...launchOf().flags, '--require', spy, main, 'run', '--config', '/nowhere/ktrail.yaml']
  const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' })
  assert.match(stderr, /^\/nowhere\/ktrail.yaml: cannot read the file: no such file/)
  const [files, builtins]: [string[], string[]] = JSON.parse(stdout)
  assert.deepEqual(files, [spy])
  assert.ok(builtins.includes('NativeModule crypto'))
  assert.deepEqual(
    builtins.filter((name) => /^NativeModule (https|tls|http2|internal\/deps\/undici)/.test(name)),
    [],
  )
})

test('bundle: a process that does not end by itself fails', () => {
  const never = path.join(folder, 'never.cjs')
  writeFileSync(never, 'process.exit = () => undefined\n')
  const { status } = spawnSync(process.execPath, [...launchOf().flags, '--require', never, main, 'version'])
  assert.equal(status, 1)
})

/** A place with `main.js`, a program that prints `text` and reports its start if this is its argument, and an empty folder for its code. */
function place(text: string): {
  readonly run: (command?: string) => string
  readonly code: string
  readonly put: (text: string) => void
} {
  const home = mkdtempSync(path.join(folder, 'place-'))
  const [own, cache] = [path.join(home, 'main.js'), path.join(home, 'cache')]
  mkdirSync(cache)
  copyFileSync(main, own)
  const put = (printed: string): void =>
    writeFileSync(
      path.join(home, 'ktrail.cjs'),
      `console.log('${printed}')\nif (process.argv[2] === 'start') require('node:diagnostics_channel').channel('ktrail:started').publish()\n`,
    )
  put(text)
  const run = (command = 'start'): string => {
    const env = { ...process.env, NODE_COMPILE_CACHE: cache }
    const { stdout, stderr } = spawnSync(process.execPath, [...launchOf().flags, own, command], {
      encoding: 'utf8',
      env,
    })
    assert.equal(stderr, '')
    assert.deepEqual(
      readdirSync(cache).filter((name) => name.startsWith('ktrail')),
      [`ktrail-${process.arch}.code`],
    )
    return stdout.trim()
  }
  return { run, code: path.join(cache, `ktrail-${process.arch}.code`), put }
}

/** The file's code under the checksum of another program. */
function relabelled(file: string, program: string): void {
  const kept = readFileSync(file)
  kept.writeUInt32LE(crc32(readFileSync(program)), 0)
  writeFileSync(file, kept)
}

test('bundle: runs the code that V8 compiled for an earlier start, and writes it once', () => {
  const { run, code, put } = place('one')
  const umask = process.umask(0)
  assert.equal(run(), 'one')
  process.umask(umask)
  const before = statSync(code)
  assert.equal(before.mode & 0o777, 0o600)
  assert.equal(run(), 'one')
  assert.equal(statSync(code).ino, before.ino)
  // V8 compares the lengths of sources: the label alone keeps it from running the code of another program.
  put('two')
  relabelled(code, path.join(path.dirname(code), '../ktrail.cjs'))
  assert.equal(run(), 'one')
})

test('bundle: keeps the code of a command until an agent has started, and then that of the agent', () => {
  const { run, code } = place('one')
  const started = (): number => readFileSync(code).readUInt32LE(8)
  run('command')
  assert.equal(started(), 0)
  const before = statSync(code)
  run('command')
  assert.equal(statSync(code).ino, before.ino)
  run()
  assert.equal(started(), 1)
  run('command')
  assert.equal(started(), 1)
})

test('bundle: does not run code of another program of the same length, and replaces it', () => {
  const { run, code, put } = place('one')
  assert.equal(run(), 'one')
  const before = readFileSync(code)
  put('two')
  assert.equal(run(), 'two')
  assert.notDeepEqual(readFileSync(code), before)
})

for (const [name, damage] of [
  ['a changed byte', (bytes: Buffer) => bytes.fill(0xff, bytes.length >> 1, (bytes.length >> 1) + 1)],
  ['half of it', (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
  ['nothing', () => Buffer.alloc(0)],
  [
    'flags of another V8',
    (bytes: Buffer) => {
      // The hash of its flags is the fourth word of V8's header.
      bytes.fill(0xaa, 12 + 12, 12 + 16)
      bytes.writeUInt32LE(crc32(bytes.subarray(12)), 4)
      return bytes
    },
  ],
] as const) {
  test(`bundle: replaces compiled code that was damaged: ${name}`, () => {
    const { run, code } = place('one')
    run()
    const whole = readFileSync(code)
    writeFileSync(code, damage(Buffer.from(whole)))
    assert.equal(run(), 'one')
    assert.equal(readFileSync(code).length, whole.length)
    assert.equal(readFileSync(code).readUInt32LE(4), crc32(readFileSync(code).subarray(12)))
  })
}
