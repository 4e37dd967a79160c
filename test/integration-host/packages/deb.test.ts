/** The Debian package: its life in a fresh Debian, and what stays of it. */
import assert from 'node:assert/strict'
import { appendFileSync, existsSync, globSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, describe, it } from 'node:test'
import { FreshRoot, ROOT, SCRATCH, run } from '../../support/guest/fresh-root.ts'

/** The package with another version. */
function withVersion(deb: string, version: string): string {
  const folder = path.join(SCRATCH, `deb-${version}`)
  const changed = path.join(SCRATCH, `ktrail_${version}.deb`)
  run('rm', ['-rf', folder])
  run('dpkg-deb', ['-R', deb, folder])
  const control = path.join(folder, 'DEBIAN/control')
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`))
  run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', folder, changed])
  return changed
}

describe('Debian package', () => {
  let deb = ''
  before(() => {
    mkdirSync(SCRATCH, { recursive: true })
    run('deploy/package/npm.sh', [])
    run('deploy/package/deb.sh', [])
    deb = path.join(ROOT, globSync('build/packages/*.deb', { cwd: ROOT })[0] ?? 'no package')
  })

  it('installed on Debian 12, it reports an access; upgrade, downgrade and remove keep config and data, purge keeps events', () => {
    using root = new FreshRoot('bookworm')
    const [mine = '', next = ''] = root.add([deb, withVersion(deb, '99.0.0')])
    root.run('dpkg', '--install', mine)
    assert.match(root.events('ktrail', 'run'), /read {4}\S+ \S*\/cat \/etc\/passwd/)
    root.run('ktrail', 'check', '/etc/ktrail/ktrail.yaml', '/etc/ktrail/policies')

    const config = `${root.folder}/etc/ktrail/ktrail.yaml`
    appendFileSync(config, '# of the administrator\n')
    for (const data of ['var/lib/ktrail', 'var/log/ktrail']) {
      mkdirSync(`${root.folder}/${data}`, { recursive: true })
      writeFileSync(`${root.folder}/${data}/events`, 'an event')
    }
    const dataStays = (): void => {
      for (const data of ['var/lib/ktrail', 'var/log/ktrail'])
        assert.deepEqual(readdirSync(`${root.folder}/${data}`), ['events'])
    }
    const configStays = (): void => assert.match(readFileSync(config, 'utf8'), /# of the administrator\n$/)

    for (const change of [
      ['--install', next],
      ['--install', mine],
      ['--remove', 'ktrail'],
    ]) {
      root.run('dpkg', ...change)
      configStays()
      dataStays()
    }
    assert.ok(!existsSync(`${root.folder}/usr/lib/ktrail`), 'the program is removed')
    root.run('dpkg', '--purge', 'ktrail')
    assert.ok(!existsSync(`${root.folder}/etc/ktrail`), 'the config is purged')
    dataStays()
  })

  it('lintian has no error', () => {
    run('deploy/setup/packages.sh', ['lint-deb'])
    const findings = run('lintian', ['--fail-on', 'none', deb]).split('\n')
    assert.deepEqual(
      findings.filter((line) => line.startsWith('E: ')),
      [],
    )
  })
})
