/** The scan at start, on a /proc that the test wrote. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseStat, startedAt } from '../../../../collector/host/proc-stat.ts'
import { readProcess, scanProcfs } from '../../../../collector/process/procfs.ts'
import { flagWords } from '../../../../collector/wire/text.ts'
import { statOf, write } from '../support/procfs.ts'
import type { Fake } from '../support/procfs.ts'
import { Folder } from '../../exporters/support/folder.ts'

const NAMES = ['bash', 'a b', 'a) R 1 (b', ')', '((', 'new\nline', ') S 77 1', 'Web Content', '']

for (const name of NAMES) {
  test(`procfs: a process named ${JSON.stringify(name)} has its parent and start after the name`, () => {
    assert.deepEqual(parseStat(statOf({ pid: 9, parent: 4, name, ticks: 123_456n })), {
      parentPid: 4,
      startNs: 1_234_560_000_000n,
      kernelThread: false,
    })
  })
}

for (const [what, stat] of [
  ['nothing', ''],
  ['no name', '9 S 1 2 3'],
  ['too few fields', '9 (x) S 1 9 9 0 -1 4194560 0 0'],
  ['a start that is no number', statOf({ pid: 9 }).replace(' 100 ', ' x ')],
  ['a zombie: its exit was before the start', statOf({ pid: 9, state: 'Z' })],
  ['a dead process', statOf({ pid: 9, state: 'X', threads: 3 })],
] as const) {
  test(`procfs: no process for ${what}`, () => assert.equal(parseStat(stat), undefined))
}

test('procfs: a process whose first thread has ended is still a process', () => {
  assert.notEqual(parseStat(statOf({ pid: 9, state: 'Z', threads: 2 })), undefined)
})

test('procfs: a process with everything', async () => {
  using folder = new Folder()
  write(folder.path, {
    pid: 42,
    parent: 7,
    ticks: 1n,
    exe: '/usr/bin/vi m',
    cwd: '/home/u',
    cmdline: 'vi\0a b\0c\0',
    cgroup: '2:cpu:/old\n0::/docker/abc\n',
    nspid: '42\t17\t3',
    uid: '1000\t1001\t1002\t1003',
    loginuid: '500',
  })
  const { flags, ...found } = (await readProcess(folder.path, 42)) ?? assert.fail('not found')
  assert.deepEqual(found, {
    pid: 42,
    parentPid: 7,
    startNs: 10_000_000n,
    uid: 1001, // effective
    auid: 500,
    nspid: 3, // innermost
    binary: '/usr/bin/vi m',
    unlinkedInode: undefined,
    arguments: ' "a b" c',
    argv: 'vi\0a b\0c',
    cwd: '/home/u',
    cgroup: '/docker/abc',
    kernelThread: false,
  })
  assert.equal(flagWords(flags), 'procFS')
})

test('procfs: a kernel thread has its name in brackets, no arguments, uid 0', async () => {
  using folder = new Folder()
  write(folder.path, { pid: 2, name: 'kworker/0:1', kernel: true, exe: undefined, cmdline: '', uid: '5\t5\t5\t5' })
  const found = await readProcess(folder.path, 2)
  assert.deepEqual([found?.binary, found?.arguments, found?.uid, found?.kernelThread], ['[kworker/0:1]', '', 0, true])
})

const ODD: ReadonlyArray<readonly [what: string, Partial<Fake>, want: Record<string, unknown>, flags: string]> = [
  ['cwd /', { cwd: '/' }, { cwd: '/' }, 'procFS rootcwd'],
  ['a cwd that cannot be read', { cwd: undefined }, { cwd: '/' }, 'procFS rootcwd errorCWD'],
  ['an exe that cannot be read: its name', { exe: undefined, name: 'gone', cwd: '/t' }, { binary: 'gone' }, 'procFS'],
  ['an exe that was deleted', { exe: '/x (deleted)', cwd: '/t' }, { binary: '/x (deleted)' }, 'procFS'],
  ['no audit in the kernel', { loginuid: undefined, cwd: '/t' }, { auid: 4294967295 }, 'procFS'],
  ['a pid that is the host’s', { nspid: '9', cwd: '/t' }, { nspid: 0 }, 'procFS'],
  ['no cgroups', { cgroup: '', cwd: '/t' }, { cgroup: '' }, 'procFS'],
  [
    'a command line of bytes',
    { cmdline: Buffer.from([0x78, 0, 0xff, 0xfe, 0]), cwd: '/t' },
    { arguments: '\ufffd' },
    'procFS',
  ],
  ['a command line that was overwritten', { cmdline: 'nginx: master', cwd: '/t' }, { arguments: '' }, 'procFS'],
]

for (const [what, change, want, flags] of ODD) {
  test(`procfs: ${what}`, async () => {
    using folder = new Folder()
    write(folder.path, { pid: 9, ...change })
    const found = (await readProcess(folder.path, 9)) ?? assert.fail('not found')
    assert.deepEqual(Object.fromEntries(Object.entries(found).filter(([key]) => key in want)), want)
    assert.equal(flagWords(found.flags), flags)
  })
}

test('procfs: a process that ends while it is read is skipped', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('5'))
  assert.equal(await readProcess(folder.path, 5), undefined)
  writeFileSync(join(folder.at('5'), 'stat'), statOf({ pid: 5 }))
  assert.equal(await readProcess(folder.path, 5), undefined)
  assert.equal(await readProcess(folder.path, 6), undefined)
})

async function order(...processes: ReadonlyArray<readonly [pid: number, parent: number]>): Promise<number[]> {
  using folder = new Folder()
  for (const [pid, parent] of processes) write(folder.path, { pid, parent })
  writeFileSync(folder.at('uptime'), '1')
  mkdirSync(folder.at('self'))
  mkdirSync(folder.at('12x'))
  return (await scanProcfs(folder.path)).map(({ pid }) => pid)
}

test('procfs: parents come before their children, also after pids have wrapped', async () => {
  assert.deepEqual(await order([1, 0], [2, 0], [30, 1], [4, 30], [5, 2]), [1, 2, 30, 5, 4])
  assert.deepEqual(await order([5, 900], [900, 1], [1, 0]), [1, 900, 5])
})

test('procfs: no process is left out, whatever its parents are', async () => {
  // A parent that ended, a ring of two, one that is its own parent.
  assert.deepEqual(await order([7, 3], [1, 0]), [1, 7])
  assert.deepEqual(
    (await order([1, 0], [8, 9], [9, 8])).toSorted((a, b) => a - b),
    [1, 8, 9],
  )
  assert.deepEqual(
    (await order([1, 0], [6, 6])).toSorted((a, b) => a - b),
    [1, 6],
  )
})

test('procfs: a scan of many processes does not block the event loop', async () => {
  using folder = new Folder()
  for (let pid = 1; pid <= 400; pid++) write(folder.path, { pid, parent: pid === 1 ? 0 : 1 })
  let turns = 0
  let scanning = true
  const turn = (): void => {
    turns++
    if (scanning) setImmediate(turn)
  }
  setImmediate(turn)
  assert.equal((await scanProcfs(folder.path)).length, 400)
  scanning = false
  assert.ok(turns >= 8, `${turns} turns`)
})

test('procfs: arguments of megabytes are read up to the limit of the kernel side, and flagged', async () => {
  using folder = new Folder()
  write(folder.path, { pid: 8, cmdline: `x\0${'a'.repeat(3 << 20)}\0` })
  const found = await readProcess(folder.path, 8)
  assert.equal(found?.arguments, 'a'.repeat(16_384 - 2))
  assert.match(flagWords(found?.flags ?? 0), /\btruncArgs\b/)
})

test('procfs: a start time, an ended process, and one that cannot be read', () => {
  using folder = new Folder()
  write(folder.path, { pid: 8, ticks: 7n })
  write(folder.path, { pid: 9, state: 'Z' })
  mkdirSync(`${folder.path}/10/stat`, { recursive: true })
  assert.deepEqual(
    [8, 9, 10, 11].map((pid) => startedAt(folder.path, pid)),
    [70_000_000n, 'gone', 'unknown', 'gone'],
  )
})

test('procfs: a deleted binary is marked by its inode; one whose name only ends in "(deleted)" is not', async (t) => {
  using folder = new Folder()
  for (const { name, remove } of [
    { name: 'gone', remove: true },
    { name: 'there (deleted)', remove: false },
  ]) {
    const binary = join(folder.path, name)
    copyFileSync('/bin/sleep', binary)
    const { ino } = statSync(binary, { bigint: true })
    const child = spawn(binary, ['60'])
    t.after(() => child.kill())
    await once(child, 'spawn')
    if (remove) rmSync(binary)
    const found = await readProcess('/proc', child.pid ?? 0)
    assert.equal(found?.binary, remove ? `${binary} (deleted)` : binary)
    assert.equal(found?.unlinkedInode, remove ? ino : undefined)
  }
})
