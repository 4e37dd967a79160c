/** The npm packages: the same bytes each time, types for authors of exporters, and an installation where nothing can be compiled. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, describe, it } from 'node:test'
import { npmPackages } from '../support/guest/built-packages.ts'
import { choosePolicy } from '../support/guest/own-policy.ts'
import { notToday } from '../support/long.ts'
import { FreshRoot, ROOT, SCRATCH, run } from '../support/guest/fresh-root.ts'

const sums = (packages: readonly string[]): string[] => packages.map((file) => hash('sha256', readFileSync(file)))

describe('npm packages', () => {
  let packages: readonly string[] = []
  before(() => {
    mkdirSync(SCRATCH, { recursive: true })
    packages = npmPackages()
  })

  it('the same sources give the same bytes', () => {
    const first = sums(packages)
    run('deploy/package/npm.sh', [])
    assert.deepEqual(sums(packages), first)
    assert.equal(first.length, 2)
  })

  it('npm publish would take them as they are, for everybody', () => {
    for (const file of packages) {
      // No registry: npm publishes nothing, and asks none for versions.
      const options = ['--dry-run', '--json', '--registry=http://127.0.0.1:9', '--fetch-retries=0']
      const { status, stdout, stderr } = spawnSync('npm', ['publish', ...options, file], {
        encoding: 'utf8',
        cwd: SCRATCH,
      })
      assert.equal(status, 0, stderr)
      assert.match(stderr, /with tag latest and public access \(dry-run\)/)
      // Such as a corrected package.json. Nobody is logged in.
      assert.deepEqual(stderr.match(/^npm warn (?!.*logged in).*$/gm), null, stderr)
      const integrity = `sha512-${hash('sha512', readFileSync(file), 'base64')}`
      assert.ok(stdout.includes(`"integrity": "${integrity}"`), stdout)
      const manifest = JSON.parse(run('tar', ['--extract', '--to-stdout', '--file', file, 'package/package.json']))
      for (const name of ['homepage', 'bugs', 'repository', 'license', 'description']) assert.ok(manifest[name], name)
    }
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
    run('npm', ['install', '--silent', '--no-audit', '--no-fund', ...packages], folder)
    run(path.join(ROOT, 'node_modules/.bin/tsc'), ['--noEmit'], folder)
  })

  // deb.test.ts boots the other Debian on that day.
  it('Debian 12 without a compiler: npm install -g, ktrail run, an event', { skip: notToday(1, 2) }, () => {
    using root = new FreshRoot('bookworm')
    root.run('npm', 'install', '--silent', '--global', '--no-audit', '--no-fund', ...root.add(packages))
    const modules = path.join(root.folder, root.run('npm', 'root', '--global').trim())
    for (const file of ['systemd/ktrail.service', 'systemd/ktrail-generator', 'man/ktrail.1'])
      assert.ok(existsSync(path.join(modules, 'ktrail', file)), file)
    const config = path.join(modules, 'ktrail/dist/config')
    const policies = path.join(config, 'policies')
    choosePolicy(path.join(config, 'ktrail.yaml'), policies, policies)
    assert.match(root.events('ktrail', 'run'), /read {4}\S+ \S*\/cat \/etc\/passwd/)
  })

  it('Debian 13 without a compiler: npm install -g, and the addon loads', { skip: notToday(0, 2) }, () => {
    using root = new FreshRoot('trixie')
    root.run('npm', 'install', '--silent', '--global', '--no-audit', '--no-fund', ...root.add(packages))
    assert.match(root.run('ktrail', 'version'), /^ktrail \d+\.\d+\.\d+/)
    assert.match(root.run('ktrail', 'policy', 'library'), /^sudoers-pam /m)
    const addon = path.join(root.run('npm', 'root', '--global').trim(), '@ktrail/linux-x64/ktrail.node')
    assert.match(root.run('node', '--print', `Object.keys(require("${addon}"))`), /openObject/)
  })
})
