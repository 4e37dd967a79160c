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
import { OTHERS, debianPackage, smallPackage } from '../support/guest/built-packages.ts'
import { FreshRoot, SCRATCH, run } from '../support/guest/fresh-root.ts'
import { blockLines } from '../support/docs/shell-lines.ts'
import { choosePolicyIn } from '../support/guest/own-policy.ts'
import { LONG, notToday } from '../support/long.ts'
import { Folder } from '../unit/exporters/support/folder.ts'
import { blocks, read } from '../unit/support/pages.ts'

/** Highest exposure that is allowed, of ten; docs/explanation/security.md gives the reason for each exposure that is left. */
const MOST_EXPOSED = 3

const LATER = '99.0.0'
/** Findings on a package for tests only. */
const UNCOMPRESSED = 'uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball'
/** Without a sync for each of the thousands of files. */
const INSTALL = ['--force-unsafe-io', '--install']
const APT = 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\nDpkg::Options { "--force-unsafe-io"; };\n'
/** Where the page's lines on the apt repository find it. */
const REPOSITORY = 'srv/build/release/0.1.0/apt'
/** A changed byte in these files, and the command that must not accept it. */
const UPDATE = 'rm -rf /var/lib/apt/lists && apt-get update'
const LIST = 'dists/stable/main/binary-amd64/Packages'
const CHANGED = (deb: string): ReadonlyArray<readonly [readonly string[], string]> => [
  [['dists/stable/InRelease'], UPDATE],
  [[LIST, `${LIST}.gz`], UPDATE],
  [[`pool/main/k/ktrail/${deb}`], `${UPDATE} && apt-get install --reinstall ktrail`],
]
/** Without CAP_SYS_ADMIN, and with a watchdog that finds the agent that hangs earlier. */
const FOUR =
  '[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE CAP_SYSLOG\nWatchdogSec=30\n'

/** Makes a signed apt repository of the packages in the root, at the place of the page, and the only one there. */
function aptRepository(
  root: FreshRoot,
  packages: readonly string[],
): { refuses(files: readonly string[], command: string): void } {
  const [debs, repository] = [path.join(root.folder, 'debs'), path.join(root.folder, REPOSITORY)]
  mkdirSync(debs)
  run('cp', [...packages, debs])
  run('deploy/release/apt-repo.sh', [debs, repository])
  writeFileSync(path.join(root.folder, 'etc/apt/apt.conf.d/99test'), APT)
  rmSync(path.join(root.folder, 'etc/apt/sources.list'))
  return {
    refuses(files, command) {
      const changed = files.map((file) => path.join(repository, file))
      for (const file of changed) flip(file)
      const output = root.run('sh', '-c', `${command} 2>&1; echo "exit code $?"`)
      assert.match(output, /exit code 100\n$/, `${files}: ${output}`)
      for (const file of changed) flip(file)
    },
  }
}

/** The token of scrapers that the first installation makes; '' if there is none. */
function tokenIn(root: FreshRoot): string {
  const files = ['metrics-token', 'config.d/10-metrics-token.yaml'].map((file) => `${root.folder}/etc/ktrail/${file}`)
  const [token = '', dropIn = ''] = files.map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : ''))
  assert.equal(token === '', dropIn === '')
  return token
}

/** Changes a byte in the middle of a file, and back the second time. */
function flip(file: string): void {
  const bytes = readFileSync(file)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes)
}

/** Programs of others stay when dpkg replaces the installed package by one without them. */
function keepOthers(root: FreshRoot): void {
  const list = path.join(root.folder, 'var/lib/dpkg/info/ktrail.list')
  const lines = readFileSync(list, 'utf8').split('\n')
  const kept = lines.filter((line) => !OTHERS.test(line))
  assert.ok(kept.length < lines.length / 2)
  writeFileSync(list, kept.join('\n'))
}

describe('postinst, with programs of systemd that only tell how they are called', () => {
  /** The calls of `postinst configure EARLIER`. `ran`: the agent ran since the last removal. */
  const calls = (earlier: string, ran: boolean, systemctlFails = false): string[] => {
    using folder = new Folder()
    for (const name of ['systemctl', 'deb-systemd-helper', 'deb-systemd-invoke', 'take-over', 'metrics-token']) {
      const code = name === 'systemctl' && systemctlFails ? 1 : 0
      writeFileSync(folder.at(name), `#!/bin/sh\necho "\${0##*/} $*" >>${folder.at('calls')}\nexit ${code}\n`, {
        mode: 0o755,
      })
    }
    if (ran) mkdirSync(folder.at('cache'))
    const script = readFileSync('deploy/debian/postinst', 'utf8')
      .replaceAll('/run/systemd/system', folder.path)
      .replaceAll('/usr/lib/ktrail/', `${folder.path}/`)
      .replaceAll('/var/cache/ktrail', folder.at('cache'))
    run('env', [`PATH=${folder.path}:/usr/bin:/bin`, 'sh', '-c', script, 'postinst', 'configure', earlier])
    return readFileSync(folder.at('calls'), 'utf8').split('\n')
  }
  const isStarted = (lines: readonly string[]): boolean => lines.includes('deb-systemd-invoke start ktrail.service')
  const isReplaced = (lines: readonly string[]): boolean => lines.includes('take-over ')

  it('the agent is started by a first installation and by one after a removal, and replaced by an upgrade', () => {
    for (const [earlier, ran, starts] of [
      ['', false, true],
      ['0.1.0', false, true],
      ['0.1.0', true, false],
    ] as const) {
      const lines = calls(earlier, ran)
      assert.deepEqual([isStarted(lines), isReplaced(lines)], [starts, !starts], lines.join('\n'))
      assert.equal(lines.includes('metrics-token '), earlier === '', 'only a first installation makes a token')
    }
  })

  it('a systemd that does not answer is no failure of the package', () => {
    assert.ok(isStarted(calls('', false, true)))
  })
})

describe('Debian package', () => {
  let deb = ''
  let later = ''
  before(() => {
    mkdirSync(SCRATCH, { recursive: true })
    deb = debianPackage()
    later = smallPackage(deb, LATER)
  })

  it('Debian 12, from an apt repository: upgrade, downgrade and remove keep config and data, purge keeps events; a changed byte is refused', () => {
    using root = new FreshRoot('bookworm')
    const apt = aptRepository(root, [deb, later])
    const lines = blockLines().filter(({ reason }) => reason.startsWith('test/packages/deb.test.ts runs these lines'))
    assert.equal(lines.length, 4)
    root.run('bash', '-euc', ['sudo() { "$@"; }', 'cd /srv', ...lines.map(({ text }) => text)].join('\n'))
    const own = run('dpkg-deb', ['--field', deb, 'Version']).trim()
    const token = tokenIn(root)
    assert.match(token, /^[0-9a-f]{48}$/)
    const reader = (group: string): string =>
      `setpriv --reuid 65534 --regid ${group} --clear-groups cat /etc/ktrail/metrics-token 2>&1 || true`
    assert.equal(root.run('sh', '-c', reader('ktrail')), token)
    assert.match(root.run('sh', '-c', reader('65534')), /Permission denied/)
    for (const [files, command] of CHANGED(path.basename(later))) apt.refuses(files, command)

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
    for (const [version, ...change] of [
      [own, 'install', '--allow-downgrades', `ktrail=${own}`],
      [LATER, 'upgrade'],
      ['', 'remove', 'ktrail'],
    ]) {
      root.run('apt-get', ...change)
      if (version === own) root.run('ktrail', 'check', '/etc/ktrail/ktrail.yaml')
      if (version === own) {
        const printed = root.run('ktrail', 'config', 'print')
        assert.match(printed, /^server:\n {2}http: 127\.0\.0\.1:2112\n {2}metrics_token: "\[redacted\]"$/m)
      }
      if (version !== '') assert.equal(root.run('dpkg-query', '-W', '-f', '${Version}', 'ktrail'), version)
      assert.equal(tokenIn(root), token)
      assert.match(readFileSync(config, 'utf8'), /# of the administrator\n$/)
      dataStays()
    }
    assert.ok(!existsSync(`${root.folder}/usr/lib/ktrail`), 'the program is removed')
    root.run('apt-get', 'purge', 'ktrail')
    assert.ok(!existsSync(`${root.folder}/etc/ktrail`), 'the config is purged')
    dataStays()
  })

  it('Debian 12 with systemd as init: the unit starts on 5.10, and lives on its own 6.1; on both, hooks are perf events', (t) => {
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
    const without = notToday(0, 2)
    if (without !== false) t.diagnostic(`no boot of 5.10: ${without}`)
    else {
      root.boot('5.10', 'test/systemd/start.test.ts')
      // The next boot writes its own events.
      rmSync(path.join(root.folder, 'var/log/ktrail'), { recursive: true })
    }
    const dropIns = path.join(root.folder, 'etc/systemd/system/ktrail.service.d')
    mkdirSync(dropIns)
    writeFileSync(path.join(dropIns, '90-four.conf'), FOUR)
    root.boot('6.1', 'test/systemd/unit.test.ts')
  })

  it('Debian 13: installed, with man page, completion and a unit that its systemd takes and starts; it reports an access', (t) => {
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
    const without = notToday(1, 2)
    if (without !== false) t.diagnostic(`no boot of Debian 13: ${without}`)
    else root.boot('6.12', 'test/systemd/start.test.ts')
  })

  it('an installed agent without a token, or with a server of its own, gets none by an upgrade', () => {
    using root = new FreshRoot('bookworm')
    const [first = '', second = ''] = root.add([later, smallPackage(deb, '99.0.1')])
    const config = `${root.folder}/etc/ktrail/ktrail.yaml`
    mkdirSync(path.dirname(config), { recursive: true })
    // As a tool for configurations leaves it before the installation.
    writeFileSync(config, 'server:\n  http: 127.0.0.1:9000\n\nexporters: { screen: { type: stdout } }\n')
    root.run('dpkg', ...INSTALL, '--force-confold', first)
    assert.equal(tokenIn(root), '')
    writeFileSync(config, readFileSync('deploy/debian/ktrail.yaml'))
    root.run('dpkg', ...INSTALL, second)
    assert.equal(tokenIn(root), '')
    root.run('/usr/lib/ktrail/metrics-token')
    assert.match(tokenIn(root), /^[0-9a-f]{48}$/)
    root.run('dpkg', '--purge', 'ktrail')
    assert.ok(!existsSync(`${root.folder}/etc/ktrail`))
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
