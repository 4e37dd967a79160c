/** BPF objects and addon are the same bytes in any build folder. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { Folder } from '../unit/exporters/support/folder.ts'

const ROOT = join(import.meta.dirname, '../..')

/** The build results of a copy of the sources in `folder`: name → bytes. */
function built(folder: string): Map<string, Buffer> {
  mkdirSync(folder, { recursive: true })
  for (const part of ['bpf', 'native']) {
    cpSync(join(ROOT, part), join(folder, part), {
      recursive: true,
      filter: (source) => basename(source) !== 'build' || dirname(source) !== join(ROOT, part),
    })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const bin = dirname(process.execPath)
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${bin}:${process.env['PATH']}`,
    npm_config_nodedir: dirname(bin),
  }
  for (const name of ['MAKEFLAGS', 'MAKELEVEL', 'MFLAGS']) delete env[name]
  execFileSync('make', ['-s', '-C', join(folder, 'bpf')], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const gyp = join(ROOT, 'node_modules/.bin/node-gyp')
  execFileSync(gyp, ['rebuild', '--directory', join(folder, 'native')], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const files = readdirSync(join(folder, 'bpf/build')).map((name) => join('bpf/build', name))
  return new Map([...files, 'native/build/Release/ktrail.node'].map((file) => [file, readFileSync(join(folder, file))]))
}

test('a copy of the checkout in another folder builds the same bytes', { timeout: 900_000 }, () => {
  using copy = new Folder()
  const own = built(copy.at('deeper/and-longer'))
  assert.ok(own.size >= 6)
  for (const [file, bytes] of own) {
    assert.ok(readFileSync(join(ROOT, file)).equals(bytes), `${file} differs from that of the checkout`)
    for (const folder of [ROOT, copy.path]) assert.ok(!bytes.includes(folder), `${file} holds the path of its folder`)
  }
})
