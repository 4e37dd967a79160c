/** The Debian package: its life in a fresh Debian, and what stays of it. */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, describe, it } from 'node:test'
import { debianPackage } from '../support/guest/built-packages.ts'
import { FreshRoot, SCRATCH, run } from '../support/guest/fresh-root.ts'
import { blocks, read } from '../unit/support/pages.ts'

/** Of ten; docs/security.md gives the reason for each exposure that is left. */
const MOST_EXPOSED = 3

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
  let later = ''
  before(() => {
    mkdirSync(SCRATCH, { recursive: true })
    deb = debianPackage()
    later = withVersion(deb, '99.0.0')
  })

  it('Debian 12: upgrade, downgrade and remove keep config and data, purge keeps events', () => {
    using root = new FreshRoot('bookworm')
    const [mine = '', next = ''] = root.add([deb, later])
    root.run('dpkg', '--install', mine)
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

  it('Debian 12: the unit, with systemd as init', () => {
    using root = new FreshRoot('bookworm')
    const [mine = ''] = root.add([deb, later])
    root.run('dpkg', '--install', mine)
    const unit = '/usr/lib/systemd/system/ktrail.service'
    const security = root.run('systemd-analyze', 'security', '--offline=true', '--no-pager', unit)
    const exposure = Number(/Overall exposure level for ktrail\.service: (\d+\.\d+)/.exec(security)?.[1])
    assert.ok(exposure <= MOST_EXPOSED, `systemd-analyze security: ${exposure}`)
    console.log(`systemd-analyze security: ${exposure}`)
    root.boot('6.12', 'test/systemd/unit.test.ts')
  })

  it('Debian 12: the unit starts on its own 6.1 and on 5.10, where hooks are perf events', () => {
    using root = new FreshRoot('bookworm')
    root.run('dpkg', '--install', ...root.add([deb]))
    for (const kernel of ['6.1', '5.10'] as const) {
      root.boot(kernel, 'test/systemd/start.test.ts')
      // Those of the next boot are its own.
      rmSync(path.join(root.folder, 'var/log/ktrail'), { recursive: true })
    }
  })

  it('Debian 13: installed, with man page, completion and a unit that its systemd takes and starts; it reports an access', () => {
    using root = new FreshRoot('trixie')
    root.run('dpkg', '--install', ...root.add([deb]))
    root.run('ktrail', 'check', '/etc/ktrail/ktrail.yaml', '/etc/ktrail/policies')
    // With the drop-ins of the page.
    const dropIns = path.join(root.folder, 'etc/systemd/system/ktrail.service.d')
    mkdirSync(dropIns)
    const found = blocks(read('docs/install/host.md'), 'ini')
    assert.ok(found.length >= 2)
    for (const [i, text] of found.entries()) writeFileSync(path.join(dropIns, `${i}.conf`), text)
    const verify = 'systemd-analyze verify --man=no /usr/lib/systemd/system/ktrail.service 2>&1'
    assert.equal(root.run('sh', '-c', verify), '')
    rmSync(dropIns, { recursive: true })
    const files = root.run('dpkg', '--listfiles', 'ktrail')
    for (const file of [
      'man/man1/ktrail.1.gz',
      'bash-completion/completions/ktrail',
      'zsh/vendor-completions/_ktrail',
      'fish/vendor_completions.d/ktrail.fish',
    ])
      assert.match(files, new RegExp(`^/usr/share/${file}$`, 'm'))
    root.boot('6.12', 'test/systemd/start.test.ts')
  })

  it('the same sources give the same bytes', () => {
    const sum = (): string => hash('sha256', readFileSync(deb))
    const first = sum()
    run('deploy/package/deb.sh', [])
    assert.equal(sum(), first)
  })

  it('lintian has no error and no warning', () => {
    run('deploy/setup/packages.sh', ['lint-deb'])
    const findings = run('lintian', ['--fail-on', 'none', deb]).split('\n')
    assert.deepEqual(
      findings.filter((line) => /^[EW]: /.test(line)),
      [],
    )
  })
})
