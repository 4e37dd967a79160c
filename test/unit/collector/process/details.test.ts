/** Credentials, namespaces and user names of processes: from exec records, from /proc, and as part of the process table. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { NAMESPACES, PROCESS_DETAIL } from '../../../../collector/wire/wire.ts'
import { WallClock } from '../../../../collector/process/clock.ts'
import { Details } from '../../../../collector/process/detail/details.ts'
import type { DetailConfig } from '../../../../collector/process/detail/details.ts'
import { UserNames } from '../../../../collector/process/detail/user-names.ts'
import { ProcessTable } from '../../../../collector/process/table.ts'
import type { MemberValue } from '../../../../exporters/contract/event.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { exec, fork } from '../support/processes.ts'

const ALL: Omit<DetailConfig, 'procfs'> = {
  enable_process_cred: true,
  enable_process_ns: true,
  username_metadata: 'unix',
}
/** Namespaces of the host are those of this process: the fake pid 1 has files with these numbers. */
function hostAt(folder: Folder): number[] {
  const inums: number[] = []
  mkdirSync(join(folder.path, '1/ns'), { recursive: true })
  mkdirSync(join(folder.path, '1/root/etc'), { recursive: true })
  for (const [name, index] of Object.entries(NAMESPACES)) {
    const file = join(
      folder.path,
      '1/ns',
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    )
    writeFileSync(file, '')
    inums[index] = inodeOf(file)
  }
  writeFileSync(join(folder.path, '1/root/etc/passwd'), 'root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:\n')
  return inums
}

const inodeOf = (file: string): number => statSync(file).ino

interface Ids {
  readonly euid?: number
  readonly permitted?: bigint
  readonly securebits?: number
  readonly level?: number
  readonly namespaces: readonly number[]
}

function raw({ euid = 0, permitted = 0n, securebits = 0, level = 0, namespaces }: Ids): Buffer {
  const bytes = Buffer.alloc(PROCESS_DETAIL.bytes)
  bytes.writeUInt32LE(euid, PROCESS_DETAIL.euid)
  bytes.writeUInt32LE(7, PROCESS_DETAIL.fsgid)
  bytes.writeBigUInt64LE(permitted, PROCESS_DETAIL.permitted)
  bytes.writeUInt32LE(securebits, PROCESS_DETAIL.securebits)
  bytes.writeUInt32LE(level, PROCESS_DETAIL.userNsLevel)
  for (const [index, inum] of namespaces.entries()) bytes.writeUInt32LE(inum, PROCESS_DETAIL.namespaces + 4 * index)
  return bytes
}

const ID_KEYS = 'uid gid euid egid suid sgid fsuid fsgid'.split(' ')
const ids = (...values: readonly number[]): object => Object.fromEntries(ID_KEYS.map((key, i) => [key, values[i]]))

function plain(value: MemberValue | undefined): unknown {
  return value instanceof Map ? Object.fromEntries([...value].map(([key, each]) => [key, plain(each)])) : value
}

function details(folder: Folder, change: Partial<DetailConfig> = {}): Details {
  return Details.of({ ...ALL, procfs: folder.path, ...change }) ?? assert.fail('asked for nothing')
}

test('details: without an option there are none, and each option adds only its own', () => {
  using folder = new Folder()
  const namespaces = hostAt(folder)
  const none = { enable_process_cred: false, enable_process_ns: false, username_metadata: 'disabled' } as const
  assert.equal(Details.of({ ...none, procfs: folder.path }), undefined)
  const keys = (change: Partial<DetailConfig>): string[] =>
    Object.keys(details(folder, { ...none, ...change }).executed(raw({ namespaces })).shown)
  assert.deepEqual(keys({ enable_process_cred: true }), ['cap', 'process_credentials'])
  assert.deepEqual(keys({ enable_process_ns: true }), ['ns'])
  assert.deepEqual(keys({ username_metadata: 'unix' }), ['user'])
})

test('details: everything of an exec record', () => {
  using folder = new Folder()
  const host = hostAt(folder)
  const namespaces = host.with(NAMESPACES.net, 4_026_532_999).with(NAMESPACES.time, 0)
  const { shown } = details(folder).executed(raw({ euid: 33, permitted: 3n, securebits: 17, namespaces }))
  const hosts = (index: number): object => ({ inum: host[index], is_host: true })
  const caps = { permitted: ['CAP_CHOWN', 'DAC_OVERRIDE'] }
  assert.deepEqual(plain(shown.cap), caps)
  assert.deepEqual(Object.entries(plain(shown.ns) ?? {}), [
    ['uts', hosts(NAMESPACES.uts)],
    ['ipc', hosts(NAMESPACES.ipc)],
    ['mnt', hosts(NAMESPACES.mnt)],
    ['pid', hosts(NAMESPACES.pid)],
    ['pid_for_children', hosts(NAMESPACES.pidForChildren)],
    ['net', { inum: 4_026_532_999 }],
    // A kernel without namespaces of time.
    ['time_for_children', hosts(NAMESPACES.timeForChildren)],
    ['cgroup', hosts(NAMESPACES.cgroup)],
    ['user', hosts(NAMESPACES.user)],
  ])
  assert.deepEqual(plain(shown.process_credentials), {
    ...ids(0, 0, 33, 0, 0, 0, 0, 7),
    securebits: ['SecBitNoRoot', 'SecBitKeepCaps'],
    caps,
    user_ns: { level: 0, uid: 0, gid: 0, ns: hosts(NAMESPACES.user) },
  })
  assert.deepEqual(plain(shown.user), { name: 'web' })
})

test('details: no user name in other user or mount namespaces, nor for an id without one', () => {
  using folder = new Folder()
  const host = hostAt(folder)
  const of = details(folder)
  for (const namespaces of [host.with(NAMESPACES.user, 9), host.with(NAMESPACES.mnt, 9)])
    assert.equal(of.executed(raw({ namespaces })).shown.user, undefined)
  assert.equal(of.executed(raw({ euid: 12, namespaces: host })).shown.user, undefined)
})

test('details: a running process has those in /proc, an ended one has none', () => {
  using folder = new Folder()
  hostAt(folder)
  mkdirSync(join(folder.path, '7/ns'), { recursive: true })
  writeFileSync(join(folder.path, '7/ns/user'), '')
  const status =
    'Name:\tx y\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nCapInh:\t0000000000000000\nCapPrm:\t0000008000000002\n'
  writeFileSync(join(folder.path, '7/status'), `${status}CapEff:\t0000000000000001\nCapBnd:\t000001ffffffffff\n`)
  const { shown } = details(folder).running(7) ?? assert.fail('gone')
  const caps = { permitted: ['DAC_OVERRIDE', 'CAP_BPF'], effective: ['CAP_CHOWN'] }
  assert.deepEqual(plain(shown.process_credentials), {
    ...ids(1, 5, 2, 6, 3, 7, 4, 8),
    caps,
    user_ns: { ns: { inum: inodeOf(join(folder.path, '7/ns/user')) } },
  })
  assert.deepEqual(plain(shown.ns), { user: { inum: inodeOf(join(folder.path, '7/ns/user')) } })
  assert.equal(details(folder).running(8), undefined)
})

test('details: equal ones are one object, and few are kept however many there are', () => {
  using folder = new Folder()
  const namespaces = hostAt(folder)
  const of = details(folder)
  const first = of.executed(raw({ namespaces }))
  for (let euid = 1; euid < 200; euid++) of.executed(raw({ euid, namespaces }))
  assert.equal(of.executed(raw({ namespaces })), first)
  for (let euid = 200; euid < 600; euid++) of.executed(raw({ euid, namespaces }))
  assert.notEqual(of.executed(raw({ namespaces })), first)
})

test('details: forks have those of their parents, and the memory of the table counts shared ones once', () => {
  using folder = new Folder()
  const namespaces = hostAt(folder)
  const table = new ProcessTable('node', new WallClock(() => 0n), 16 << 20, { details: details(folder) })
  const before = table.budget.bytes.texts
  const run = (tgid: number, euid: number): void =>
    void table.exec(exec(tgid, tgid, 0, 1, {}, { detail: raw({ euid, namespaces }) }), 0)
  run(10, 33)
  const { process } = table.find(10, 0, 0) ?? assert.fail('no process')
  assert.equal(process.details?.user?.get('name'), 'web')
  const one = table.budget.bytes.texts - before
  table.fork(fork(11, 11, 10, 10), 0)
  assert.equal(table.find(11, 0, 0)?.process.details, process.details)
  run(12, 33)
  const texts = table.budget.bytes.texts - before - one
  run(13, 0)
  assert.ok(texts < 1000 && one > 10_000, `${one} ${texts}`)
  assert.equal(table.budget.bytes.texts - before, 2 * one + texts)
  for (const pid of [10, 11, 12, 13]) table.exit(pid, 0, 0, 0)
  table.sweep(10_000)
  assert.equal(table.budget.bytes.texts, before)
})

test('details: a call by another user has the name of that user, and else those of the exec', () => {
  using folder = new Folder()
  const namespaces = hostAt(folder)
  const at = (inums: readonly number[], change: Partial<DetailConfig> = {}): [unknown, unknown, unknown] => {
    const table = new ProcessTable('node', new WallClock(() => 0n), 16 << 20, { details: details(folder, change) })
    const image = table.exec(exec(10, 10, 0, 1, {}, { detail: raw({ namespaces: inums }) }), 0)
    const [web, none] = [33, 12].map((uid) => table.callers.of(image, uid).details)
    assert.equal(web?.process_credentials, image.process.details?.process_credentials)
    return [plain(image.process.details?.user), plain(web?.user), plain(none?.user)]
  }
  assert.deepEqual(at(namespaces), [{ name: 'root' }, { name: 'web' }, undefined])
  assert.deepEqual(at(namespaces.with(NAMESPACES.user, 9)), [undefined, undefined, undefined])
  assert.deepEqual(at(namespaces, { username_metadata: 'disabled' }), [undefined, undefined, undefined])
})

test('details: a changed passwd file counts within seconds; a bad one does no harm', () => {
  using folder = new Folder()
  const file = join(folder.path, 'passwd')
  let now = 0
  let changes = 0
  const names = new UserNames(
    file,
    () => changes++,
    () => now,
  )
  const look = (uid: number): string | undefined => {
    now += 5_000
    names.refresh()
    return names.name(uid)
  }
  assert.equal(look(0), undefined)
  writeFileSync(file, 'root:x:0:0\n#web:x:33:33\ntoor:x:0:0\n:x:2\nx:y\nbig:x:99999999999:\nodd:x:-1:\nlast:x:7')
  names.refresh()
  // Not yet.
  assert.equal(names.name(0), undefined)
  assert.deepEqual([0, 33, 2, 7].map(look), ['root', undefined, undefined, 'last'])
  assert.equal(changes, 1)
  writeFileSync(`${file}.new`, `${'n'.repeat(100)}:x:3:\n`)
  appendFileSync(`${file}.new`, `${'#'.repeat(1 << 20)}\nlate:x:4:\n`)
  renameSync(`${file}.new`, file)
  assert.deepEqual([0, 3, 4].map(look), [undefined, undefined, undefined])
  renameSync(file, `${file}.gone`)
  assert.equal(look(7), undefined)
  assert.equal(changes, 3)
  mkdirSync(file)
  assert.equal(look(7), undefined)
})

test('details: a named pipe in place of passwd has no names, and nobody waits for its writer', () => {
  using folder = new Folder()
  execFileSync('mkfifo', [folder.at('passwd')])
  const names = new UserNames(folder.at('passwd'), () => {})
  names.refresh()
  assert.equal(names.name(0), undefined)
})
