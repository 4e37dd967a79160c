/** BPF objects and addon are the same bytes in any build folder. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { Folder } from '../unit/exporters/support/folder.ts'

const ROOT = join(import.meta.dirname, '../..')
const ADDON = 'native/build/Release/ktrail.node'
const LONG = process.env['KTRAIL_LONG'] === '1'
/** The five objects of hook.bpf.c differ in macros only: this one has most of them. */
const HOOK = 'hook.typed_ctx.bpf.o'
/** Two of the addon's files, with its own classes and with a library. */
const UNITS = ['kernel/ring', 'compress'].map((unit) => `native/build/Release/obj.target/ktrail/${unit}.o`)

const built = (): string[] => globSync('bpf/build/*.bpf.o', { cwd: ROOT })
/** Each source of BPF and two of the addon, or with KTRAIL_LONG=1 everything: a minute and a half of a core. */
const wanted = (): string[] =>
  LONG
    ? [...built(), ADDON]
    : [...built().filter((file) => !basename(file).startsWith('hook.') || basename(file) === HOOK), ...UNITS]

/** Builds these files from a copy of the sources in `folder`. */
function build(folder: string, files: readonly string[]): void {
  mkdirSync(folder, { recursive: true })
  for (const part of ['bpf', 'native']) {
    cpSync(join(ROOT, part), join(folder, part), {
      recursive: true,
      filter: (source) => basename(source) !== 'build' || dirname(source) !== join(ROOT, part),
    })
  }
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const bin = dirname(process.execPath)
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${bin}:${process.env['PATH']}`,
    npm_config_nodedir: dirname(bin),
  }
  for (const name of ['MAKEFLAGS', 'MAKELEVEL', 'MFLAGS']) delete env[name]
  const run = (command: string, ...args: string[]): unknown =>
    execFileSync(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const under = (part: string): string[] =>
    files.filter((file) => file.startsWith(part)).map((file) => file.slice(part.length))
  run('make', '-s', '-C', join(folder, 'bpf'), ...under('bpf/'))
  run(join(ROOT, 'node_modules/.bin/node-gyp'), 'configure', '--directory', join(folder, 'native'))
  run('make', '-s', '-C', join(folder, 'native/build'), 'BUILDTYPE=Release', ...under('native/build/'))
}

test('a copy of the checkout in another folder builds the same bytes', { timeout: 900_000 }, () => {
  using copy = new Folder()
  const folder = copy.at('deeper/and-longer')
  const files = wanted()
  assert.ok(files.length >= 8)
  build(folder, files)
  for (const file of files)
    assert.ok(readFileSync(join(ROOT, file)).equals(readFileSync(join(folder, file))), `${file} differs`)
})

test('no built file holds the path of its folder', () => {
  for (const file of [...built(), ADDON])
    assert.ok(!readFileSync(join(ROOT, file)).includes(ROOT), `${file} holds ${ROOT}`)
})
