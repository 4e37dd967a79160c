/** The npm packages: installed into a fresh Debian that cannot compile anything, run on a real kernel, used by authors of exporters. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import path from 'node:path'

const ROOT = path.join(import.meta.dirname, '../../..')
/** Where a guest sees it too; guests have a /tmp of their own. */
const SCRATCH = path.join(ROOT, 'build/packages-test')
const IN_ROOT = {
  PATH: '/opt/node/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt',
}

const run = (command: string, args: readonly string[], cwd = ROOT): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 << 20 })
const sha256 = (file: string): string => hash('sha256', readFileSync(file))
const packages = (): string[] => globSync('build/packages/*.tgz', { cwd: ROOT }).map((file) => path.join(ROOT, file))

describe('npm packages', () => {
  before(() => {
    run('make', ['--no-print-directory', 'package'])
    mkdirSync(SCRATCH, { recursive: true })
  })
  after(() => rmSync(SCRATCH, { recursive: true, force: true }))

  it('the same sources give the same bytes', () => {
    const first = packages().map(sha256)
    run('deploy/package/npm.sh', [])
    assert.deepEqual(packages().map(sha256), first)
    assert.equal(first.length, 2)
  })

  it('an exporter compiles against the types with the default settings of tsc', () => {
    const folder = mkdtempSync(path.join(SCRATCH, 'author-'))
    writeFileSync(path.join(folder, 'package.json'), '{ "type": "module", "private": true }')
    writeFileSync(path.join(folder, 'tsconfig.json'), '{ "compilerOptions": { "module": "nodenext" } }')
    writeFileSync(
      path.join(folder, 'mine.ts'),
      `import type { Batch, CreateExporter, Outcome } from 'ktrail/exporter'
      export const createExporter: CreateExporter = (options, context) => ({
        type: 'mine',
        encoding: 'json',
        start: async (): Promise<void> => context.warn(String(options['x'])),
        send: async (batch: Batch): Promise<Outcome> => (batch.count > 0 ? { status: 'delivered' } : NO),
        stop: async (): Promise<void> => {},
      })
      const NO: Outcome = { status: 'retryable', error: new Error('no') }`,
    )
    run('npm', ['install', '--silent', '--no-audit', '--no-fund', ...packages()], folder)
    run(path.join(ROOT, 'node_modules/.bin/tsc'), ['--noEmit'], folder)
  })

  it('Debian 12 without a compiler: npm install -g, ktrail run, an event', () => {
    const folder = mkdtempSync(path.join(SCRATCH, 'root-'))
    const fresh = run('test/support/guest/root.sh', ['bookworm']).trim()
    run('cp', ['-a', '--reflink=auto', `${fresh}/.`, folder])
    run('cp', ['-L', '/etc/resolv.conf', `${folder}/etc/resolv.conf`])
    run('cp', [...packages(), folder])
    const files = packages().map((file) => `/${path.basename(file)}`)
    const env = Object.entries(IN_ROOT).map(([name, value]) => `${name}=${value}`)
    // A mount namespace of its own: the folder can be removed afterwards.
    const inRoot = 'mount --bind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" env -i "$@"'
    const install = ['npm', 'install', '--silent', '--global', '--no-audit', '--no-fund', ...files]
    run('unshare', ['--mount', 'sh', '-c', inRoot, folder, ...env, ...install])
    const events = run('test/support/guest/run.sh', [
      '6.12',
      '--timeout',
      '300',
      '--',
      'test/support/guest/installed.sh',
      folder,
      'ktrail',
      'run',
    ])
    assert.match(events, /read {4}\S+ \S*\/cat \/etc\/passwd/)
  })
})
