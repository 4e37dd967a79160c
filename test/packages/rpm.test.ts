/** The RPM package: its requirements, and its life in the root of another system, by Debian's rpm. Without the programs of others. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { hash } from 'node:crypto'
import path from 'node:path'
import { before, describe, it } from 'node:test'
import { debianPackage, smallPackage } from '../support/guest/built-packages.ts'
import { FreshRoot, SCRATCH, run } from '../support/guest/fresh-root.ts'
import { Folder } from '../unit/exporters/support/folder.ts'

const [FIRST, LATER] = ['1.0.0~rc.1', '1.0.0']
/** Symbol versions that RHEL 9 and Amazon Linux 2023 have: docs/reference/kernels.md. */
const OLDEST = { glibc: 34, libstdcxx: 29 }
/** Debian packages with these symbols: GCC 11 brought 3.4.29. */
const OLDEST_DEBIAN = `libc6 (>= 2.${OLDEST.glibc}), libstdc++6 (>= 11)`

/** Records its arguments, and the versions of the page that are installed. No agent runs. */
const SYSTEMCTL = '#!/bin/sh\necho "$*, $(ls /usr/share/doc/ktrail/version-* | wc -l) version" >>/calls\necho 0\n'

describe('RPM package', () => {
  let debs: readonly string[] = []
  let rpms: readonly string[] = []
  before(() => {
    mkdirSync(SCRATCH, { recursive: true })
    const deb = debianPackage()
    debs = [FIRST, LATER].map((version) => smallPackage(deb, version))
    rpms = debs.map((each) => rpmOf(each, SCRATCH))
  })

  it('requires no newer libraries than those of RHEL 9, and none that it brings', () => {
    const needed = run('rpm', ['--query', '--package', '--requires', rpms[0] ?? ''])
    const newest = (symbol: RegExp): number =>
      Math.max(...[...needed.matchAll(symbol)].map(([, minor]) => Number(minor)))
    assert.equal(newest(/\(GLIBC_2\.(\d+)/g), OLDEST.glibc)
    assert.equal(newest(/\(GLIBCXX_3\.4\.(\d+)/g), OLDEST.libstdcxx)
    assert.equal(run('dpkg-deb', ['--field', debs[0] ?? '', 'Depends']).trim(), OLDEST_DEBIAN)
    assert.doesNotMatch(needed, /libbpf|libelf|libz/)
  })

  it('the same Debian package gives the same bytes in another folder and time zone', () => {
    using folder = new Folder()
    const sum = (file: string): string => hash('sha256', readFileSync(file))
    assert.equal(sum(rpmOf(debs[0] ?? '', folder.path, { TZ: 'Asia/Tokyo' })), sum(rpms[0] ?? ''))
  })

  it('the SELinux module compiles with the policy of Debian, and has rules for each of its folders', () => {
    using folder = new Folder()
    const list = run('rpm', ['--query', '--package', '--list', '--verbose', rpms[0] ?? ''])
    assert.match(list, / \/usr\/share\/selinux\/packages\/ktrail\.cil$/m)
    run('test/packages/selinux.sh', ['deploy/package/ktrail.cil', folder.path])
    const contexts = readFileSync(path.join(folder.path, 'contexts'), 'utf8')
    const unit = readFileSync('deploy/systemd/ktrail.service', 'utf8')
    // The label of a file decides about the domain, not that of a link to it.
    const [, program = ''] = /^ExecStart=(\S+)/m.exec(unit) ?? []
    const link = list.split('\n').find((line) => line.includes(` ${program} -> `))
    const file = path.resolve(path.dirname(program), link?.split(' -> ')[1] ?? path.basename(program))
    assert.match(list, new RegExp(`^-\\S+ .* ${file}$`, 'm'))
    assert.ok(contexts.includes(`\n${file}\t--\tsystem_u:object_r:ktrail_exec_t:s0\n`), file)
    for (const [kind, place] of [
      ['Runtime', '/run'],
      ['State', '/var/lib'],
      ['Logs', '/var/log'],
      ['Cache', '/var/cache'],
    ]) {
      const name = new RegExp(`^${kind}Directory=(.*)$`, 'm').exec(unit)?.[1]
      assert.ok(contexts.includes(`\n${place}/${name}(/.*)?\tsystem_u:object_r:ktrail_data_t:s0\n`), kind)
    }
  })

  it('install, upgrade, downgrade and erase keep events and a changed config', () => {
    using root = new FreshRoot('bookworm')
    const rpm = (...args: string[]): { readonly status: number | null; readonly stderr: string } =>
      spawnSync('rpm', ['--force-debian', '--root', root.folder, ...args], { encoding: 'utf8' })
    const [first = '', later = ''] = rpms
    const refused = rpm('--install', first)
    assert.notEqual(refused.status, 0)
    assert.match(refused.stderr, /libc\.so\.6\(GLIBC_2\.34\)\(64bit\) is needed by ktrail/)

    const at = (file: string): string => path.join(root.folder, file)
    const config = at('etc/ktrail/ktrail.yaml')
    const change = (version: string, ...args: string[]): void => {
      // rpm knows no packages of Debian.
      const { status, stderr } = rpm('--nodeps', ...args)
      assert.equal(status, 0, stderr)
      assert.equal(stderr, '')
      const { stdout } = spawnSync('rpm', ['--root', root.folder, '--query', '--queryformat', '%{VERSION}', 'ktrail'], {
        encoding: 'utf8',
      })
      assert.equal(stdout, version)
      assert.equal(rpm('--verify', '--nodeps', 'ktrail').status, existsSync(`${config}.mine`) ? 1 : 0)
      assert.ok(statSync(at('usr/lib/ktrail/take-over')).mode & 0o100)
      assert.equal(statSync(at('etc/ktrail/metrics-token')).mode & 0o777, 0o640)
      assert.equal(statSync(at('etc/ktrail/metrics-token')).size, 48)
      assert.equal(statSync(config).mode & 0o777, 0o600)
    }
    change(FIRST, '--install', first)
    assert.ok(existsSync(at('usr/share/licenses/ktrail/LICENSE')))
    // Debian's preset enables all units.
    assert.ok(readdirSync(at('etc/systemd/system/multi-user.target.wants')).includes('ktrail.service'))

    appendFileSync(config, '# of the administrator\n')
    writeFileSync(`${config}.mine`, '')
    mkdirSync(at('var/lib/ktrail'))
    mkdirSync(at('var/log/ktrail'))
    writeFileSync(at('var/log/ktrail/events'), 'an event')
    // As with systemd as init: each version takes over when its files are the only ones.
    mkdirSync(at('run/systemd/system'), { recursive: true })
    renameSync(at('usr/bin/systemctl'), at('usr/bin/systemctl.real'))
    writeFileSync(at('usr/bin/systemctl'), SYSTEMCTL, { mode: 0o755 })
    change(LATER, '--upgrade', later)
    change(FIRST, '--upgrade', '--oldpackage', first)
    const reload = 'daemon-reload, 1 version'
    const upgrade = [reload, reload, 'show --value --property MainPID ktrail.service, 1 version']
    assert.deepEqual(readFileSync(at('calls'), 'utf8').trim().split('\n'), [...upgrade, ...upgrade])
    renameSync(at('usr/bin/systemctl.real'), at('usr/bin/systemctl'))
    rmSync(at('run/systemd'), { recursive: true })
    assert.match(readFileSync(config, 'utf8'), /# of the administrator\n$/)

    const { status, stderr } = rpm('--erase', 'ktrail')
    assert.equal(status, 0, stderr)
    assert.match(stderr, /ktrail\.yaml saved as .*ktrail\.yaml\.rpmsave/)
    assert.match(stderr, /ktrail: \/var\/log\/ktrail is kept, because it contains events/)
    for (const gone of ['usr/lib/ktrail', 'usr/bin/ktrail', 'var/lib/ktrail']) assert.ok(!existsSync(at(gone)), gone)
    assert.ok(!readdirSync(at('etc/systemd/system/multi-user.target.wants')).includes('ktrail.service'))
    assert.deepEqual(readdirSync(at('var/log/ktrail')), ['events'])
  })
})

/** Path of the package that is made of a Debian package. */
function rpmOf(deb: string, folder: string, environment: NodeJS.ProcessEnv = {}): string {
  run('env', [
    ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    'deploy/package/rpm.sh',
    deb,
    folder,
  ])
  return path.join(folder, `ktrail-${path.basename(deb).split('_')[1]}-1.x86_64.rpm`)
}
