import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'

const ROOT = path.join(import.meta.dirname, '../../..')
const scratch = mkdtempSync(path.join(tmpdir(), 'ktrail-setup-'))
after(() => rmSync(scratch, { recursive: true }))

/** The result of deploy/setup/apt-sources.awk for one file of this name. */
function sources(name: string, text: string): string[] {
  const file = path.join(scratch, name)
  writeFileSync(file, text)
  const script = path.join(ROOT, 'deploy/setup/apt-sources.awk')
  const { stdout, stderr } = spawnSync('awk', ['-v', 'CODENAME=bookworm', '-f', script, file], { encoding: 'utf8' })
  assert.equal(stderr, '')
  return stdout.split('\n').filter((line) => line !== '')
}

test('setup: finds the Debian sources of a machine in both formats, and no others', () => {
  const stanza = 'Types: deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\n'
  const rows = [
    { name: 'plain.sources', text: stanza, want: ['http://a.example/debian|bookworm|'] },
    {
      name: 'two.sources',
      text: `# a mirror\n${stanza}Signed-By: /k.gpg\n\nTypes: deb deb-src\nURIs: http://s.example/x\nSuites: bookworm-security\nComponents: main contrib\n`,
      want: ['http://a.example/debian|bookworm|/k.gpg', 'http://s.example/x|bookworm-security|'],
    },
    {
      name: 'suites.sources',
      text: stanza.replace('bookworm', 'bookworm bookworm-updates bookworm-backports'),
      want: ['http://a.example/debian|bookworm|', 'http://a.example/debian|bookworm-updates|'],
    },
    {
      name: 'key.sources',
      text: `${stanza}Signed-By:\n -----BEGIN\n abc\n`,
      want: ['http://a.example/debian|bookworm|'],
    },
    { name: 'off.sources', text: `Enabled: no\n${stanza}`, want: [] },
    { name: 'src.sources', text: stanza.replace('deb\n', 'deb-src\n'), want: [] },
    { name: 'third.sources', text: stanza.replace('Components: main', 'Components: stable'), want: [] },
    {
      name: 'a.list',
      text: 'deb http://a.example/debian bookworm main\n',
      want: ['http://a.example/debian|bookworm|'],
    },
    {
      name: 'b.list',
      text: '# x\ndeb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ bookworm contrib main # y\n',
      want: ['http://a.example/debian/|bookworm|/k.gpg'],
    },
    {
      name: 'c.list',
      text: 'deb-src http://a.example/debian bookworm main\n#deb http://a.example/d bookworm main\n',
      want: [],
    },
    {
      name: 'd.list',
      text: 'deb https://c.example/apt cloud-sdk-bookworm main\ndeb http://d.example bookworm stable\n',
      want: [],
    },
    { name: 'empty.list', text: '', want: [] },
  ]
  for (const { name, text, want } of rows) assert.deepEqual(sources(name, text), want, name)
})

/** A checkout with the launcher, a program that prints its arguments and pid, and the given parts of a build. */
function checkout(name: string, parts: { packages?: boolean; bpf?: boolean; addon?: boolean; node?: string }): string {
  const root = path.join(scratch, name)
  mkdirSync(path.join(root, 'collector'), { recursive: true })
  copyFileSync(path.join(ROOT, 'ktrail'), path.join(root, 'ktrail'))
  chmodSync(path.join(root, 'ktrail'), 0o755)
  writeFileSync(
    path.join(root, 'collector/main.ts'),
    'const all: unknown = [process.pid, process.cwd(), ...process.argv.slice(2)]\nconsole.log(JSON.stringify(all))\nprocess.exitCode = 7\n',
  )
  const put = (file: string, text = ''): void => {
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(root, file), text)
  }
  if (parts.packages === true) put('node_modules/yaml/package.json')
  if (parts.bpf === true) put('bpf/build/x.bpf.o')
  if (parts.addon === true) put('native/build/Release/ktrail.node')
  if (parts.node !== undefined) put('node_modules/.ktrail/node', `${parts.node}\n`)
  return root
}

const WHOLE = { packages: true, bpf: true, addon: true }
const NODE = path.dirname(process.execPath)

test('launcher: becomes the program, from any folder and through a link, with arguments and exit code kept', () => {
  const root = checkout('whole checkout', { ...WHOLE, node: NODE })
  const link = path.join(scratch, 'link')
  symlinkSync(path.join(root, 'ktrail'), link)
  for (const command of [path.join(root, 'ktrail'), link]) {
    const run = spawnSync(command, ['run', '--config', 'a b'], {
      cwd: '/',
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin' },
    })
    // An equal pid: no wrapper stays between a signal and the program.
    assert.deepEqual(JSON.parse(run.stdout), [run.pid, '/', 'run', '--config', 'a b'])
    assert.deepEqual([run.status, run.stderr], [7, ''])
  }
})

test('launcher: reports in one message what is missing', () => {
  const old = path.join(scratch, 'old-node')
  mkdirSync(old)
  writeFileSync(path.join(old, 'node'), '#!/bin/sh\necho v20.1.0\n')
  chmodSync(path.join(old, 'node'), 0o755)
  const tools = path.join(scratch, 'tools')
  mkdirSync(tools)
  for (const tool of ['bash', 'dirname', 'readlink']) symlinkSync(`/usr/bin/${tool}`, path.join(tools, tool))
  const rows = [
    {
      name: 'no packages',
      parts: { bpf: true, addon: true },
      search: NODE,
      want: /is not built \(no npm packages\): run `make build` there/,
    },
    {
      name: 'no objects',
      parts: { packages: true, addon: true },
      search: NODE,
      want: /is not built \(no BPF objects\)/,
    },
    { name: 'no addon', parts: { packages: true, bpf: true }, search: NODE, want: /is not built \(no addon\)/ },
    { name: 'old node', parts: WHOLE, search: old, want: /expected Node >= 24, got v20\.1\.0: run `make build` in/ },
    { name: 'no node', parts: { ...WHOLE, node: '/nowhere' }, search: '', want: /no Node found: run `make build` in/ },
  ]
  for (const { name, parts, search, want } of rows) {
    const root = checkout(name, parts)
    const run = spawnSync(path.join(root, 'ktrail'), ['version'], {
      encoding: 'utf8',
      env: { PATH: `${search}:${tools}` },
    })
    assert.equal(run.status, 1, name)
    assert.match(run.stderr, want)
    assert.equal(run.stderr.trimEnd().split('\n').length, 1, run.stderr)
  }
})

test('setup: npm ci in a built checkout records its facts again, elsewhere it does not', () => {
  const rows: ReadonlyArray<
    readonly [name: string, parts: Parameters<typeof checkout>[1], env: NodeJS.ProcessEnv, noted: boolean]
  > = [
    ['built', { addon: true }, {}, true],
    ['not built', {}, {}, false],
    ['built, without tools', { addon: true }, { npm_config_omit: 'dev' }, false],
  ]
  for (const [name, parts, more, noted] of rows) {
    const root = checkout(`facts ${name}`, parts)
    const setup = path.join(root, 'deploy/setup')
    mkdirSync(setup, { recursive: true })
    for (const script of ['lib.sh', 'node.sh', 'facts.sh'])
      copyFileSync(path.join(ROOT, 'deploy/setup', script), path.join(setup, script))
    copyFileSync(path.join(ROOT, 'package-lock.json'), path.join(root, 'package-lock.json'))
    const env = { ...process.env, PATH: `${NODE}:${process.env['PATH']}`, ...more }
    assert.equal(spawnSync('bash', [path.join(setup, 'facts.sh')], { env }).status, 0, name)
    const facts = path.join(root, 'node_modules/.ktrail')
    assert.equal(existsSync(facts), noted, name)
    if (!noted) continue
    const node = readFileSync(path.join(facts, 'node'), 'utf8')
    assert.equal(node, `${NODE}\n`)
    assert.match(readFileSync(path.join(facts, 'packages'), 'utf8'), new RegExp(`^[0-9a-f]{64} ${node}$`))
  }
})

test('guest: refuses wrong arguments before it starts anything', () => {
  const script = path.join(ROOT, 'test/support/guest/run.sh')
  const rows = [
    { args: ['6.12'], want: /expected -- before the command/ },
    { args: ['6.12', '--'], want: /expected a command after --/ },
    { args: ['6.12', '--cpus', 'two', '--', 'true'], want: /--cpus: expected a positive number, got "two"/ },
    { args: ['6.12', '--timeout', '0', '--', 'true'], want: /--timeout: expected a positive number, got "0"/ },
    { args: ['6.12', '--arch', 'mips', '--', 'true'], want: /--arch: expected amd64 or arm64, got "mips"/ },
    { args: ['6.12', '--fast', '--', 'true'], want: /unknown option "--fast"/ },
  ]
  for (const { args, want } of rows) {
    const run = spawnSync(script, args, { encoding: 'utf8' })
    assert.equal(run.status, 125)
    assert.match(run.stderr, want)
  }
})

test('make: every target of the help exists and is described', () => {
  const { stdout, status } = spawnSync('make', ['-s', '--no-print-directory', 'help'], { cwd: ROOT, encoding: 'utf8' })
  assert.equal(status, 0)
  const named = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[1])
  assert.ok(named.includes('test'), stdout)
  const phony = /^\.PHONY: (.*)$/m.exec(readFileSync(path.join(ROOT, 'Makefile'), 'utf8'))
  assert.deepEqual(phony?.[1]?.split(' '), named)
})

test('make bench: finds the command by which ./ktrail starts node, and reaches its report', () => {
  const env = { ...process.env, ONLY: 'no such bench' }
  const { stdout, stderr } = spawnSync('test/bench/run.sh', { cwd: ROOT, encoding: 'utf8', env })
  assert.match(stdout + stderr, /no results in|targets are met/)
})
