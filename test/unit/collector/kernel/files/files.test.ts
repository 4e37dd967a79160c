/** Policies with SameFile and UnderDir → objects, links and map entries. The kernel is in memory, the files are real. */
import assert from 'node:assert/strict'
import {
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { readlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, mock, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { HookSpec, IdentityFilter, Policy } from '../../../../../config/policy/policy.ts'
import { CollectorError } from '../../../../../collector/errors.ts'
import { Files } from '../../../../../collector/kernel/files/files.ts'
import { realPathIn } from '../../../../../collector/kernel/files/real-path.ts'
import { Resolver, hostRoot } from '../../../../../collector/kernel/files/resolve.ts'
import { identityKey } from '../../../../../collector/plan/files/entries.ts'
import { SHARED_MAPS } from '../../../../../collector/plan/objects.ts'
import type { SharedMaps } from '../../../../../collector/plan/objects.ts'
import { IDENTIFIED, IDENTITY_FILTERS, IDENTITY_FILTERS_MAX } from '../../../../../collector/wire/wire.ts'
import { NativeError, openPathWorker } from '../../../../../native/index.ts'
import type { PathWorker } from '../../../../../native/types.ts'
import { kernel } from '../../support/facts.ts'
import { FakeNative, FakeObject } from '../../support/fake-native.ts'
import { arg, spec } from '../../support/specs.ts'

const top = mkdtempSync(join(tmpdir(), 'ktrail-files-'))
after(() => rmSync(top, { recursive: true }))

const under = (...values: string[]): IdentityFilter => ({
  class: 'identity',
  arg: 0,
  operator: 'UnderDir',
  values,
  at: { line: 7, col: 3 },
})
const same = (...values: string[]): IdentityFilter => ({ ...under(...values), operator: 'SameFile' })

const hook = (filter: IdentityFilter): HookSpec =>
  spec({ call: 'f', args: [arg(0, 'file')], selectors: [{ matchArgs: [filter] }] })
const policy = (name: string, ...filters: IdentityFilter[]): Policy => ({
  name,
  file: `${name}.yaml`,
  hooks: filters.map(hook),
  groups: [],
})

/** As the kernel would answer, but with the device of stat. */
function identified(fd: number): Buffer {
  const { ino, dev, nlink, mode } = fstatSync(fd)
  const bytes = Buffer.alloc(IDENTIFIED.bytes)
  identityKey({ ino: BigInt(ino), dev, generation: 0 }).copy(bytes, IDENTIFIED.identity)
  bytes.writeUInt32LE(nlink, IDENTIFIED.links)
  bytes.writeUInt32LE(mode, IDENTIFIED.mode)
  return bytes
}

function shared(): { native: FakeNative; maps: SharedMaps } {
  const native = new FakeNative()
  native.identify = identified
  const object = new FakeObject(native, 'process.bpf.o', { programs: [] })
  return { native, maps: Object.fromEntries(SHARED_MAPS.map((name) => [name, object.map(name)])) as SharedMaps }
}

interface Rig {
  readonly native: FakeNative
  readonly files: Files
  readonly warnings: string[]
  readonly debug: string[]
  readonly own: number
  readonly clock: { ms: number }
  /** The latest time, after the last check, at which paths are resolved again. */
  readonly refresh: () => Promise<void>
}

/** Interval of housekeeping while nothing happens. No check may wait longer (docs/reference/policy/files-by-identity.md). */
const ANEW_MS = 6_000

function rig(): Rig {
  const { native, maps } = shared()
  const warnings: string[] = []
  const warn = (detail: object, message: string): void => void warnings.push(`${JSON.stringify(detail)} ${message}`)
  const debug: string[] = []
  const onDebug = (detail: object): void => void debug.push(JSON.stringify(detail))
  const clock = { ms: 1_000_000 }
  const nowMs = (): number => clock.ms
  const options = { facts: kernel(6, 12), constants: {}, openObject: native.openObject, warn, debug: onDebug, nowMs }
  const files = new Files(options, maps)
  const refresh = async (): Promise<void> => {
    clock.ms += ANEW_MS
    await files.refresh()
  }
  return { native, files, warnings, debug, own: native.resources, clock, refresh }
}

/** Filters of a file in the map `identities`: its own, and those of everything below it. */
function wanted(files: Files, path: string): bigint[] | undefined {
  const { ino, dev } = statSync(path)
  const found = files.maps?.identities.lookup(identityKey({ ino: BigInt(ino), dev, generation: 0 }))
  return found && [found.readBigUInt64LE(IDENTITY_FILTERS.own), found.readBigUInt64LE(IDENTITY_FILTERS.below)]
}

test('files: without a descriptor for a map the object and its links are closed', async () => {
  const { native, files, own } = rig()
  native.fail = (call) => (call === 'map left_files' ? new NativeError('NO_DESCRIPTORS', 'none is left') : undefined)
  await assert.rejects(files.add([policy('a', under(top))]), { code: 'POLICY_REFUSED' })
  assert.equal(native.resources, own)
  native.fail = () => undefined
  await files.add([policy('a', under(top))])
  assert.equal(files.links.length, 3)
})

test('files: runs that the kernel skipped stay counted after the last policy', async () => {
  const { native, files } = rig()
  native.missed = { 'kprobe.multi': 3n }
  for (const name of ['a', 'b']) {
    await files.add([policy(name, under(top))])
    files.remove([policy(name, under(top))])
  }
  assert.deepEqual(
    [...files.runs()],
    [
      ['file_link', { missed: 6, runs: 0, runNs: 0 }],
      ['file_rename', { missed: 6, runs: 0, runNs: 0 }],
      ['file_unlink', { missed: 6, runs: 0, runNs: 0 }],
    ],
  )
})

test('files: changes of the maps and closed links by other programs are found; maps are repaired', async () => {
  const { native, files } = rig()
  assert.deepEqual(files.check(), [])
  await files.add([policy('a', under(top))])
  assert.deepEqual(files.check(), [])
  const before = wanted(files, top)
  assert.ok(before !== undefined)
  const { ino, dev } = statSync(top)
  files.maps?.identities.delete(identityKey({ ino: BigInt(ino), dev, generation: 0 }))
  files.maps?.identity_screen.update(Buffer.alloc(4), Buffer.alloc(8))
  const found = (): string[] => files.check().map(({ kind, on, repaired }) => `${kind} ${on} ${repaired}`)
  assert.deepEqual(found(), ['policy_map_changed identities true', 'policy_map_changed identity_screen true'])
  assert.deepEqual(wanted(files, top), before)
  assert.deepEqual(found(), [])
  native.closedBehind = (symbol) => symbol === 'security_inode_link'
  assert.deepEqual(found(), ['link_gone file_link false'])
  assert.deepEqual(
    files.links.map(({ on, link: { kind } }) => `${on} ${kind}`),
    ['file_link kprobe.multi', 'file_rename kprobe.multi', 'file_unlink kprobe.multi'],
  )
  files.close()
  assert.deepEqual([found(), files.links.length], [[], 0])
})

test('files: the object is loaded with the first such policy, and closed with the last', async () => {
  const { native, files, own } = rig()
  const [a, b, plain] = [policy('a', under(top)), policy('b', same(top)), policy('c')]
  await files.add([plain])
  assert.equal(files.maps, undefined)
  await files.add([a])
  await files.add([b])
  assert.deepEqual(
    native.objects.map(({ file }) => file),
    ['files.bpf.o'],
  )
  assert.deepEqual(
    native.calls.filter((call) => call.startsWith('attach')),
    ['link', 'rename', 'unlink'].map((what) => `attach file_${what} security_inode_${what}`),
  )
  assert.deepEqual(wanted(files, top), [2n, 1n])
  files.remove([a, plain])
  assert.notEqual(files.maps, undefined)
  files.remove([b])
  assert.equal(files.maps, undefined)
  assert.equal(native.resources, own)
})

test('files: a refused program leaves nothing open, and its filters are free again', async () => {
  const { native, files, own } = rig()
  native.fail = (call) => (call.includes('security_inode_rename') ? new NativeError('ATTACH_FAILED', 'no') : undefined)
  await assert.rejects(files.add([policy('a', under(top))]), /SameFile and UnderDir of these policies do not fit/)
  assert.equal(native.resources, own)
  assert.equal(files.bitOf(under(top)), 0n)
  native.fail = () => undefined
  await files.add([policy('a', under(top))])
  files.close()
})

test('files: the marks of removed files are taken away when the paths are resolved anew', async () => {
  const { files, refresh } = rig()
  await files.add([policy('a', same(top))])
  const key = identityKey({ ino: 1n, dev: 2, generation: 0 })
  const map = files.maps?.gone_files
  assert.ok(map !== undefined)
  map.update(key, Buffer.of(1))
  const info = { ...map.info, keySize: key.length, valueSize: 1 }
  Object.assign(map, { info, part: () => ({ keys: key, values: Buffer.of(1), count: 1, next: undefined }) })
  await refresh()
  assert.equal(map.lookup(key), undefined)
  files.close()
})

test('files: one list more than there are bits is refused at its place', async () => {
  const { files } = rig()
  const lists = Array.from({ length: IDENTITY_FILTERS_MAX + 1 }, (_, i) => under(`/none/${i}`))
  await assert.rejects(files.add([policy('many', ...lists)]), (error: unknown) => {
    assert.ok(error instanceof CollectorError && error.code === 'POLICY_REFUSED')
    assert.match(error.message, /^many\.yaml:7:3: expected at most 64 different lists of SameFile and UnderDir/)
    return true
  })
  assert.equal(files.maps, undefined)
})

test('files: many missing paths are one line of the log, once, with their number; level debug names them', async () => {
  const { files, warnings, debug, refresh } = rig()
  const paths = Array.from({ length: 12 }, (_, i) => join(top, `none-${i}`))
  await files.add(paths.map((path) => policy(path.replaceAll('/', '-').slice(-7), same(path))))
  await refresh()
  assert.deepEqual(warnings, [
    '{"count":12} files or folders of policies do not exist; nothing to do: they are watched from their creation on',
  ])
  assert.equal(debug.length, 1)
  assert.ok(paths.every((path) => debug[0]?.includes(`"${path}"`)))
  files.close()
})

test('files: a missing path is logged once, and watched when it appears; a replaced file is forgotten', async () => {
  const { files, warnings, refresh } = rig()
  const folder = join(top, 'later')
  mkdirSync(folder)
  const path = join(folder, 'f')
  await files.add([policy('a', same(path))])
  await refresh()
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /"paths":\{".*\/later\/f":".*ENOENT.*"\}.*do not exist; nothing to do/)
  writeFileSync(path, 'x')
  await refresh()
  assert.deepEqual(wanted(files, path), [1n, 0n])
  renameSync(path, join(folder, 'old'))
  writeFileSync(path, 'y')
  await refresh()
  assert.deepEqual([wanted(files, path), wanted(files, join(folder, 'old'))], [[1n, 0n], undefined])
  files.close()
})

test('files: a file whose file system does not answer in time is watched as before', async () => {
  const path = join(top, 'slow')
  writeFileSync(path, 'x')
  const { files, warnings, refresh } = rig()
  await files.add([policy('slow', same(path))])
  const none = { path, file: undefined, folder: undefined, name: 'slow', missing: 'no answer within 5 s', late: true }
  const resolving = mock.method(Resolver.prototype, 'resolve', () => Promise.resolve(none))
  await refresh()
  assert.equal(resolving.mock.callCount(), 1)
  resolving.mock.restore()
  assert.deepEqual(wanted(files, path), [1n, 0n])
  assert.deepEqual(warnings, [])
})

test('files: if each check takes seconds, a new path is watched within six seconds and one check', async () => {
  const { files, clock } = rig()
  const path = join(top, 'much', 'later')
  const others = Array.from({ length: 19 }, (_, i) => join(top, `other-${i}`))
  await files.add([policy('loaded', under(path, ...others))])
  const { resolve } = Resolver.prototype
  const slow = mock.method(Resolver.prototype, 'resolve', function (this: Resolver, ...of: Parameters<typeof resolve>) {
    clock.ms += 100
    return resolve.apply(this, of)
  })
  const looks: number[] = []
  // Housekeeping's pace while events come, for a minute.
  for (const end = clock.ms + 60_000; clock.ms < end;) {
    const before = slow.mock.callCount()
    const beganMs = clock.ms
    await files.refresh()
    if (slow.mock.callCount() > before) looks.push(beganMs)
    if (looks.length === 1) mkdirSync(path, { recursive: true })
    if (looks.length === 2) assert.deepEqual(wanted(files, path), [0n, 1n])
    clock.ms = Math.max(clock.ms, beganMs + 2_000)
  }
  slow.mock.restore()
  const pauses = looks.slice(1).map((ms, i) => ms - (looks[i] ?? 0))
  assert.ok(pauses.length > 5 && pauses.every((ms) => ms <= ANEW_MS), `${pauses}`)
  files.close()
})

test('files: up to 400 paths are resolved again within six seconds; with more, resolving takes 1 % of the time', async () => {
  const none = { path: '/none', file: undefined, folder: undefined, name: 'none' }
  const resolving = mock.method(Resolver.prototype, 'resolve', () => Promise.resolve(none))
  const rows = [
    { paths: 1, every: 2_000 },
    { paths: 200, every: 2_000 },
    { paths: 400, every: 4_000 },
    { paths: 4_000, every: 40_000 },
  ]
  for (const { paths, every } of rows) {
    const { files, clock, refresh } = rig()
    await files.add([policy('many', same(...Array.from({ length: paths }, (_, i) => `/none/${i}`)))])
    clock.ms += 10 * every
    await refresh()
    const before = resolving.mock.callCount()
    const fromMs = clock.ms
    while (resolving.mock.callCount() === before) {
      clock.ms += 2_000
      await files.refresh()
    }
    assert.equal(clock.ms - fromMs, every, `${paths} paths`)
    files.close()
  }
  resolving.mock.restore()
})

test('files: paths on file systems that do not answer do not delay others', async () => {
  const path = join(top, 'behind')
  writeFileSync(path, 'x')
  const { native, maps } = shared()
  const { promise: never } = Promise.withResolvers<never>()
  const real = openPathWorker()
  const abandoned: string[] = []
  // Time passes only while no file system answers, because answers may take long on a loaded host.
  let waits = false
  const isHung = (bytes: Uint8Array): boolean => Buffer.from(bytes).toString().startsWith('/proc/') && (waits = true)
  const pathWorker: PathWorker = {
    readFolder: (bytes) => real.readFolder(bytes),
    readLink: (bytes) => (isHung(bytes) ? never : real.readLink(bytes)),
    find: (bytes) => (isHung(bytes) ? never : real.find(bytes)),
    release: (fd) => real.release(fd),
    digest: (fd, bytes) => real.digest(fd, bytes),
    readStart: (bytes, most) => real.readStart(bytes, most),
    abandon: () => {
      abandoned.push('abandoned')
      waits = false
    },
    close: () => real.close(),
    [Symbol.dispose]: () => real.close(),
  }
  const files = new Files({ facts: kernel(6, 12), constants: {}, openObject: native.openObject, pathWorker }, maps)
  mock.timers.enable({ apis: ['setInterval'] })
  const added = files.add([policy('behind', same('/proc/version', '/proc/uptime', '/proc/1/x', path))])
  const state = { isAdded: false }
  const done = added.then(() => (state.isAdded = true))
  while (!state.isAdded) {
    await setImmediate()
    if (waits) mock.timers.tick(1000)
  }
  mock.timers.reset()
  await done
  assert.deepEqual(wanted(files, path), [1n, 0n])
  assert.deepEqual(abandoned, ['abandoned'], 'one thread a file system')
  files.close()
})

test('files: symbolic links are followed', async () => {
  const { files } = rig()
  mkdirSync(join(top, 'real'))
  writeFileSync(join(top, 'real', 'f'), 'x')
  symlinkSync(join(top, 'real'), join(top, 'link'))
  await files.add([policy('a', under(join(top, 'link')), same(join(top, 'link', 'f')))])
  assert.deepEqual(wanted(files, join(top, 'real')), [0n, 1n])
  assert.deepEqual(wanted(files, join(top, 'real', 'f')), [2n, 0n])
  files.close()
})

test('files: symbolic links are resolved in the root of the host', async () => {
  const root = join(top, 'root')
  mkdirSync(join(root, 'etc', 'deep'), { recursive: true })
  writeFileSync(join(root, 'etc', 'f'), 'x')
  for (const [name, target] of [
    ['absolute', '/etc/deep'],
    ['up', '../../../../etc'],
    ['here', './absolute'],
    ['circle', '/circle'],
    ['nowhere', '/gone/x'],
  ] as const)
    symlinkSync(target, join(root, name))
  const rows: ReadonlyArray<readonly [path: string, want: string]> = [
    ['/', '/'],
    ['/etc/f', '/etc/f'],
    ['/absolute', '/etc/deep'],
    ['/absolute/x', '/etc/deep/x'],
    ['/up/f', '/etc/f'],
    ['/here/y', '/etc/deep/y'],
    ['/nowhere', '/gone/x'],
    ['/circle', '/circle'],
    ['/etc/f/below', '/etc/f/below'],
  ]
  for (const [path, want] of rows) {
    const real = await realPathIn(root, path, (link) => readlink(link).catch(() => undefined))
    assert.equal(real, want, path)
  }
})

test('files: the agent uses the root of pid 1 only if its own mounts differ', () => {
  const procfs = join(top, 'proc')
  mkdirSync(join(procfs, '1', 'ns'), { recursive: true })
  assert.equal(hostRoot(procfs), '')
  symlinkSync('mnt:[1]', join(procfs, '1', 'ns', 'mnt'))
  assert.equal(hostRoot(procfs), join(procfs, '1', 'root'))
  rmSync(join(procfs, '1', 'ns', 'mnt'))
  symlinkSync(readlinkSync('/proc/self/ns/mnt'), join(procfs, '1', 'ns', 'mnt'))
  assert.equal(hostRoot(procfs), '')
})
