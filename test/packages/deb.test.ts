/** The Debian package: its life in a fresh Debian, and its leftovers. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { before, describe, it } from 'node:test'
import { debianPackage } from '../support/guest/built-packages.ts'
import { FreshRoot, SCRATCH, run } from '../support/guest/fresh-root.ts'
import { choosePolicyIn } from '../support/guest/own-policy.ts'
import { LONG } from '../support/long.ts'
import { blocks, read } from '../unit/support/pages.ts'

/** Highest exposure that is allowed, of ten; docs/explanation/security.md gives the reason for each exposure that is left. */
const MOST_EXPOSED = 3

const LATER = '99.0.0'
/** Findings on a package for tests only. */
const UNCOMPRESSED = 'uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball'
/** Without a sync for each of the thousands of files. */
const INSTALL = ['--force-unsafe-io', '--install']
/** Node and the npm packages of others: most of the package's bytes and of its 4,000 files. A guest takes minutes to unpack them. */
const OTHERS = /^\/usr\/lib\/ktrail\/(node$|node\/|node_modules\/(?!@ktrail|\.ktrail))/
/** Without CAP_SYS_ADMIN, and with a watchdog that finds the agent that hangs earlier. */
const FOUR =
  '[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE CAP_SYSLOG\nWatchdogSec=30\n'

/** The package with a later version, without the programs of others. */
function laterPackage(deb: string): string {
  const folder = path.join(SCRATCH, `deb-${LATER}`)
  run('rm', ['-rf', folder])
  run('dpkg-deb', ['-R', deb, folder])
  const control = path.join(folder, 'DEBIAN/control')
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${LATER}`))
  const home = path.join(folder, 'usr/lib/ktrail')
  const modules = readdirSync(path.join(home, 'node_modules')).map((name) => `node_modules/${name}`)
  for (const name of ['node', ...modules])
    if (OTHERS.test(`/usr/lib/ktrail/${name}`)) rmSync(path.join(home, name), { recursive: true })
  const file = path.join(SCRATCH, `ktrail_${LATER}.deb`)
  run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', folder, file])
  return file
}

/** Programs of others stay when dpkg replaces the installed package by one without them. */
function keepOthers(root: FreshRoot): void {
  const list = path.join(root.folder, 'var/lib/dpkg/info/ktrail.list')
  const lines = readFileSync(list, 'utf8').split('\n')
  const kept = lines.filter((line) => !OTHERS.test(line))
  assert.ok(kept.length < lines.length / 2)
  writeFileSync(list, kept.join('\n'))
}

describe('Debian package', () => {
  let deb = ''
  let later = ''
  before(() => {
    mkdirSync(SCRATCH, { recursive: true })
    deb = debianPackage()
    later = laterPackage(deb)
  })

  it('Debian 12: upgrade, downgrade and remove keep config and data, purge keeps events', () => {
    using root = new FreshRoot('bookworm')
    const [mine = '', next = ''] = root.add([deb, later])
    root.run('dpkg', ...INSTALL, mine)
    root.run('ktrail', 'check', '/etc/ktrail/ktrail.yaml')

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
      [...INSTALL, next],
      [...INSTALL, mine],
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

  it('Debian 12 with systemd as init: the unit starts on 5.10, and lives on its own 6.1; on both, hooks are perf events', () => {
    using root = new FreshRoot('bookworm')
    const [mine = ''] = root.add([deb, later])
    root.run('dpkg', ...INSTALL, mine)
    choosePolicyIn(root.folder)
    keepOthers(root)
    const unit = '/usr/lib/systemd/system/ktrail.service'
    const security = root.run('systemd-analyze', 'security', '--offline=true', '--no-pager', unit)
    const exposure = Number(/Overall exposure level for ktrail\.service: (\d+\.\d+)/.exec(security)?.[1])
    assert.ok(exposure <= MOST_EXPOSED, `systemd-analyze security: ${exposure}`)
    console.log(`systemd-analyze security: ${exposure}`)
    root.boot('5.10', 'test/systemd/start.test.ts')
    // The next boot writes its own events.
    rmSync(path.join(root.folder, 'var/log/ktrail'), { recursive: true })
    const dropIns = path.join(root.folder, 'etc/systemd/system/ktrail.service.d')
    mkdirSync(dropIns)
    writeFileSync(path.join(dropIns, '90-four.conf'), FOUR)
    root.boot('6.1', 'test/systemd/unit.test.ts')
  })

  it('Debian 13: installed, with man page, completion and a unit that its systemd takes and starts; it reports an access', () => {
    using root = new FreshRoot('trixie')
    root.run('dpkg', ...INSTALL, ...root.add([deb]))
    choosePolicyIn(root.folder)
    root.run('ktrail', 'check', '/etc/ktrail/ktrail.yaml', '/etc/ktrail/policies')
    // With the drop-ins of the page.
    const dropIns = path.join(root.folder, 'etc/systemd/system/ktrail.service.d')
    mkdirSync(dropIns)
    const found = blocks(read('docs/start/host.md'), 'ini')
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
    // Without the compression, most of the build's time: the same tar files give the same packed ones.
    const sum = (part: string): string =>
      run('bash', ['-o', 'pipefail', '-c', 'dpkg-deb "$0" "$1" | sha256sum', part, deb])
    const sums = (): string[] => ['--ctrl-tarfile', '--fsys-tarfile'].map(sum)
    const [first, kept] = [sums(), path.join(SCRATCH, 'first.deb')]
    renameSync(deb, kept)
    try {
      run('env', ['COMPRESSION=none', 'deploy/package/deb.sh'])
      assert.deepEqual(sums(), first)
    } finally {
      renameSync(kept, deb)
    }
  })

  it(`lintian has no error and no warning${LONG ? '' : ', without the programs of others'}`, () => {
    run('deploy/setup/packages.sh', ['lint-deb'])
    // The programs of others take most of its time, and change only with package-lock.json.
    const checked = LONG ? [deb] : ['--suppress-tags', UNCOMPRESSED, later]
    const findings = run('lintian', ['--fail-on', 'none', ...checked]).split('\n')
    assert.deepEqual(
      findings.filter((line) => /^[EW]: /.test(line)),
      [],
    )
  })
})
