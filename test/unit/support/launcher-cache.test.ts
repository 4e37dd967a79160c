import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'

const ROOT = path.join(import.meta.dirname, '../../..')
const NODE = path.dirname(process.execPath)
const STRANGER = 65534
const scratch = mkdtempSync(path.join(tmpdir(), 'ktrail-cache-'))
after(() => rmSync(scratch, { recursive: true }))

/** A built checkout whose program prints the compile cache that it was given. */
function checkout(name: string): { root: string; cache: string } {
  const root = path.join(scratch, name)
  for (const [file, text] of [
    ['collector/main.ts', "console.log(process.env['NODE_COMPILE_CACHE'] ?? 'none')\n"],
    ['node_modules/yaml/package.json', ''],
    ['node_modules/.ktrail/node', `${NODE}\n`],
    ['bpf/build/x.bpf.o', ''],
    ['native/build/Release/x.node', ''],
  ] as const) {
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(root, file), text)
  }
  copyFileSync(path.join(ROOT, 'ktrail'), path.join(root, 'ktrail'))
  return { root, cache: path.join(root, 'node_modules/.ktrail/compile-cache') }
}

/** The output of the program; standard error must stay empty, in whatever state the cache is. */
function cacheOf(root: string, environment: Record<string, string> = {}): string {
  const run = spawnSync(path.join(root, 'ktrail'), {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', ...environment },
  })
  assert.deepEqual([run.status, run.stderr], [0, ''])
  return run.stdout.trim()
}

for (const source of ['config/deep/other.ts', 'config/data.json']) {
  test(`launcher: starts the build, or the sources if one of them is newer: ${source}`, () => {
    const { root } = checkout(`bundle-${path.extname(source)}`)
    const [bundle, other] = [path.join(root, 'build/dist/collector/main.js'), path.join(root, source)]
    for (const folder of [path.dirname(bundle), path.dirname(other), path.join(root, 'exporters')])
      mkdirSync(folder, { recursive: true })
    writeFileSync(bundle, "console.log('bundle')\n")
    assert.equal(cacheOf(root), 'bundle')
    writeFileSync(other, '')
    const later = new Date(Date.now() + 1_000)
    utimesSync(other, later, later)
    assert.notEqual(cacheOf(root), 'bundle')
  })
}

test('launcher: creates a compile cache that only its owner can write, and reuses it', () => {
  const { root, cache } = checkout('fresh')
  assert.equal(cacheOf(root), cache)
  assert.equal(statSync(cache).mode & 0o777, 0o755)
  assert.equal(cacheOf(root), cache)
})

test('launcher: drops variables by which Node loads the code of others', () => {
  const { root, cache } = checkout('asked')
  const module = path.join(root, 'module.cjs')
  writeFileSync(module, "console.log('loaded')\n")
  const environment = { NODE_COMPILE_CACHE: `${scratch}/mine`, NODE_OPTIONS: `--require=${module}` }
  assert.equal(cacheOf(root, environment), cache)
  assert.throws(() => statSync(`${scratch}/mine`), { code: 'ENOENT' })
})

test('launcher: neither bash nor OpenSSL runs code that the environment names', () => {
  const { root, cache } = checkout('code')
  const [script, openssl] = [path.join(root, 'env.sh'), path.join(root, 'openssl.cnf')]
  writeFileSync(script, 'echo BASH_ENV\n')
  // Node does not start with a provider that cannot be loaded.
  writeFileSync(openssl, 'nodejs_conf = a\n[a]\nproviders = b\n[b]\nc = d\n[d]\nmodule = /nowhere.so\nactivate = 1\n')
  const functions = { 'BASH_FUNC_readlink%%': '() { echo readlink; }', SHELLOPTS: 'xtrace' }
  const node = { OPENSSL_CONF: openssl, NODE_TLS_REJECT_UNAUTHORIZED: '0' }
  assert.equal(cacheOf(root, { BASH_ENV: script, ENV: script, ...functions, ...node }), cache)
})

test('launcher: runs without a compile cache if a link or a file is in its place', () => {
  const { root, cache } = checkout('link')
  mkdirSync(`${scratch}/elsewhere`)
  symlinkSync(`${scratch}/elsewhere`, cache)
  assert.equal(cacheOf(root), 'none')
  const other = checkout('file')
  writeFileSync(other.cache, '')
  assert.equal(cacheOf(other.root), 'none')
})

test(
  'launcher: uses no compile cache of another user, and creates none in a checkout of another user',
  { skip: process.getuid?.() === 0 ? false : 'needs root to give files away' },
  () => {
    const { root, cache } = checkout('stranger')
    mkdirSync(cache)
    chownSync(cache, STRANGER, STRANGER)
    assert.equal(cacheOf(root), 'none')
    const other = checkout('other')
    chownSync(path.join(other.root, 'node_modules'), STRANGER, STRANGER)
    assert.equal(cacheOf(other.root), 'none')
    assert.throws(() => statSync(other.cache), { code: 'ENOENT' })
  },
)
