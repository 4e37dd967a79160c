/** The process of a record: images by (tgid, start), their parents, their counts, and how long they are kept. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Image } from '../../../../collector/process/image.ts'
import type { ProcessTable } from '../../../../collector/process/table.ts'
import { PROCESS_FLAGS } from '../../../../collector/wire/flags.ts'
import type { RawMove } from '../../../../collector/wire/decode.ts'
import { NODE, OFFSET_NS, exec, fork, move, names, newTable, scanned } from '../support/processes.ts'

const GRACE_MS = 5_000
const id = (start: number | bigint, pid: number): string => Buffer.from(`${NODE}:${start}:${pid}`).toString('base64')

/** A shell found by the scan: pid 100. */
function withShell(): { table: ProcessTable; shell: Image; shellStart: number } {
  const table = newTable()
  const shell = table.addScanned(scanned(100, 1, { binary: '/bin/sh', arguments: '-i', cwd: '/root', uid: 7 }))
  return { table, shell, shellStart: shell.startLo }
}

test('table: the kernel is the parent of processes without another parent', () => {
  const table = newTable()
  const { process } = table.addScanned(scanned(1, 0))
  assert.equal(process.parentExecId, id(1, 0))
  const kernel = table.find(0, 0, 0)?.process
  assert.deepEqual([kernel?.binary, kernel?.flags, kernel?.refcnt], ['<kernel>', 'procFS', 2])
})

test('table: ancestors above the parent, on request, even if they have ended', () => {
  const table = newTable(undefined, { ancestors: true })
  const before = table.budget.bytes
  table.addScanned(scanned(1, 0))
  table.fork(fork(10, 1000, 1, 10_000_000), 0)
  table.exec(exec(10, 1001, 1, 10_000_000), 0)
  table.fork(fork(11, 1100, 10, 1001), 0)
  table.exit(10, 1001, 0, 0)
  table.sweep(1e9)
  const image = table.fork(fork(12, 1200, 11, 1100), 1e9) ?? assert.fail('no image')
  assert.deepEqual(
    [image.parent, ...image.above].map((each) => each?.process.pid),
    [11, 10, 1, 0],
  )
  // A chain of execs is bounded.
  for (let i = 0; i < 100; i++) table.exec(exec(12, 2000 + i, 12, 1999 + i), 1e9)
  assert.equal(table.find(12, 0, 0)?.above.length, 32)
  for (const pid of [12, 11, 1]) table.exit(pid, 0, 0, 1e9)
  table.sweep(2e9)
  assert.deepEqual(table.budget.bytes, before)
  assert.deepEqual(image.above, [])
})

test('table: a forked child is its parent’s copy with its own ids', () => {
  const { table, shell, shellStart } = withShell()
  const child = table.fork(fork(200, 5000, 100, shellStart), 0)
  assert.ok(child)
  const { process } = child
  assert.deepEqual(
    [process.execId, process.parentExecId, process.pid, process.flags],
    [id(5000, 200), shell.process.execId, 200, 'execve'],
  )
  assert.deepEqual([process.binary, process.arguments, process.cwd, process.uid], ['/bin/sh', '-i', '/root', 7])
  assert.deepEqual(process.startTime, { sec: Number(OFFSET_NS / 1_000_000_000n), nsec: 5000 })
})

test('table: exec after fork: the parent is the forking process', () => {
  const { table, shell, shellStart } = withShell()
  const child = table.fork(fork(200, 5000, 100, shellStart), 0)
  const image = table.exec(
    exec(200, 6000, 100, shellStart, { filename: './ls', path: '/usr/bin/ls', cwd: '/usr/bin', argv: ['ls', '-l'] }),
    0,
  )
  assert.equal(image.parent, shell)
  assert.deepEqual([image.process.execId, image.process.binary], [id(6000, 200), '/usr/bin/ls'])
  assert.deepEqual([image.process.arguments, image.process.flags], ['-l', 'execve clone'])
  assert.equal(table.find(200, 0, 0), image)
  // The forked image is still found for records of its time.
  assert.equal(table.find(200, 5000, 0), child)
})

test('table: a binary without a name keeps its inode, also in a child without exec', () => {
  const { table, shellStart } = withShell()
  const mark = (change: object): bigint | undefined =>
    table.exec(exec(200, 6000, 100, shellStart, {}, change), 0).process.unlinkedInode
  assert.equal(mark({ fileIno: 9n, fileLinks: 1 }), undefined)
  // Unknown.
  assert.equal(mark({ fileIno: 0n, fileLinks: 0 }), undefined)
  assert.equal(mark({ fileIno: 9n, fileLinks: 0 }), 9n)
  assert.equal(table.fork(fork(300, 7000, 200, 6000), 0)?.process.unlinkedInode, 9n)
})

test('table: exec without fork: the parent is the previous image, and the pid has a new id', () => {
  const { table, shell, shellStart } = withShell()
  const image = table.exec(exec(100, 7000, 100, shellStart, {}, { flags: PROCESS_FLAGS.execve }), 0)
  assert.equal(image.parent, shell)
  assert.equal(image.process.parentExecId, shell.process.execId)
  assert.equal(image.process.flags, 'execve')
})

test('table: a call by another user has a copy of the process, one object for calls in a row', () => {
  const { table, shell, shellStart } = withShell()
  const own = shell.process
  assert.equal(table.callers.of(shell, 7), own)
  const other = table.callers.of(shell, 0)
  assert.deepEqual({ ...other, rendered: undefined }, { ...own, uid: 0, rendered: undefined })
  assert.equal(table.callers.of(shell, 0), other)
  assert.equal(table.callers.of(shell, 7), own)
  // A child has the user of the exec.
  assert.equal(table.fork(fork(200, 5000, 100, shellStart), 0)?.process.uid, 7)
  // Only the last user is kept, and its bytes replace those of the one before.
  const kept = table.budget.bytes.renderings
  const copies = Array.from({ length: 1000 }, (_, uid) => table.callers.of(shell, 10 + uid))
  assert.deepEqual(new Set(copies).size, 1000)
  assert.deepEqual([table.budget.bytes.renderings, own.rendered.copies?.length], [kept, 1])
  for (const pid of [200, 100]) table.exit(pid, 0, 0, 0)
  table.sweep(GRACE_MS)
  assert.equal(table.budget.bytes.renderings, 0)
})

test('table: a change of the process shows in its calls by another user', () => {
  const { table, shell } = withShell()
  const before = table.callers.of(shell, 0)
  table.identify(shell.process, { podUid: 'p' })
  assert.deepEqual([before.podUid, table.callers.of(shell, 0).podUid], ['', 'p'])
})

test('table: calls of an unknown process have their user', () => {
  const table = newTable()
  const image = table.findOrUnknown(9, 5, 0)
  assert.deepEqual([image.process.uid, table.callers.of(image, 33).uid], [undefined, 33])
})

test('table: counts itself and each living child, and releases them', () => {
  const { table, shell, shellStart } = withShell()
  const counts: number[] = [shell.process.refcnt]
  const note = (): void => void counts.push(shell.process.refcnt)
  table.fork(fork(200, 5000, 100, shellStart), 0)
  note()
  table.fork(fork(201, 5001, 100, shellStart), 0)
  note()
  table.exec(exec(200, 6000, 100, shellStart), 0)
  note()
  table.exit(200, 6000, 0, 0)
  note()
  table.exit(200, 6000, 0, 0)
  note()
  table.exit(201, 5001, 0, 0)
  note()
  table.exit(100, shellStart, 0, 0)
  note()
  assert.deepEqual(counts, [1, 2, 3, 3, 2, 2, 1, 0])
})

test('table: an image is found for late records during its grace period, by its start and as the latest of its pid', () => {
  const { table, shellStart } = withShell()
  table.fork(fork(200, 5000, 100, shellStart), 0)
  const image = table.exec(exec(200, 6000, 100, shellStart), 1000)
  assert.equal(table.exit(200, 6000, 0, 2000), image)
  table.sweep(2000 + GRACE_MS - 1)
  assert.equal(table.find(200, 6000, 0), image)
  assert.equal(table.find(200, 0, 0), image)
  assert.notEqual(image.parent, undefined)
  table.sweep(2000 + GRACE_MS)
  assert.equal(table.find(200, 6000, 0), undefined)
  assert.equal(table.find(200, 0, 0), undefined)
  assert.equal(image.parent, undefined)
})

test('table: a reused pid is another process, and the previous one is removed after its grace period', () => {
  const { table, shellStart } = withShell()
  const first = table.fork(fork(200, 5000, 100, shellStart), 0)
  table.exit(200, 5000, 0, 0)
  const second = table.fork(fork(200, 9000, 100, shellStart), 100)
  assert.equal(table.find(200, 5000, 0), first)
  assert.equal(table.find(200, 0, 0), second)
  table.sweep(GRACE_MS)
  assert.equal(table.find(200, 5000, 0), undefined)
  assert.equal(table.find(200, 9000, 0), second)
})

test('table: a process with a lost exit is removed when its pid is reused', () => {
  const { table, shell, shellStart } = withShell()
  const first = table.fork(fork(200, 5000, 100, shellStart), 0)
  table.fork(fork(200, 9000, 100, shellStart), 100)
  assert.ok(first?.ended)
  assert.equal(shell.process.refcnt, 2)
  table.sweep(100 + GRACE_MS)
  assert.equal(table.find(200, 5000, 0), undefined)
})

test('table: an unknown process is described with the data of the record', () => {
  const table = newTable()
  const { process, parent } = table.findOrUnknown(77, 5, 0)
  assert.deepEqual([process.pid, process.flags, process.binary, process.execId], [77, 'unknown', '', ''])
  assert.equal(process.startTime.nsec, 5)
  assert.equal(parent, undefined)
  assert.equal(table.size, 1)
  assert.equal(table.exit(77, 5, 0, 0), undefined)
})

test('table: an exec with a lost fork has the parent’s latest image as parent', () => {
  const { table, shell } = withShell()
  const image = table.exec(exec(300, 8000, 100, 0, {}, { flags: PROCESS_FLAGS.execve | PROCESS_FLAGS.miss }), 0)
  assert.equal(image.parent, shell)
  assert.equal(image.process.flags, 'execve miss')
})

test('table: start times beyond 2^53 nanoseconds stay exact', () => {
  const table = newTable()
  const startNs = 2n ** 53n + 12_345_678_901n
  const image = table.addScanned(scanned(9, 1, { startNs }))
  assert.equal(image.process.execId, id(startNs, 9))
  assert.equal(table.find(9, Number(startNs & 0xffff_ffffn), Number(startNs >> 32n)), image)
  assert.equal(image.process.startTime.nsec, Number((OFFSET_NS + startNs) % 1_000_000_000n))
})

const CONTAINER = `docker-${'ab'.repeat(32)}.scope`

test('table: in_init_tree is set for the first process of a pid namespace and its descendants', () => {
  const { table, shellStart } = withShell()
  const init = table.exec(exec(200, 6000, 100, shellStart, { cgroup: CONTAINER }, { nspid: 1 }), 0)
  const entered = table.exec(exec(201, 6001, 100, shellStart, { cgroup: CONTAINER }, { nspid: 9 }), 0)
  const child = table.fork(fork(202, 6002, 200, 6000), 0)
  assert.ok(child)
  const grandchild = table.exec(exec(202, 6003, 200, 6000, { cgroup: CONTAINER }, { nspid: 2 }), 0)
  const unshared = table.exec(exec(203, 6004, 100, shellStart, {}, { nspid: 1 }), 0)
  const forked = table.fork(fork(204, 6005, 100, shellStart, 1), 0)
  assert.ok(forked)
  const host = table.exec(exec(205, 6006, 100, shellStart), 0)
  assert.deepEqual(
    [init, entered, child, grandchild, unshared, forked, host].map(({ process }) => process.inInitTree),
    [true, false, true, true, true, true, false],
  )
  assert.equal(init.process.docker, 'ab'.repeat(16).slice(0, 31))
  assert.match(child.process.flags, /^execve inInitTree$/)
  assert.match(grandchild.process.flags, /inInitTree$/)
})

const OTHER = `libpod-${'cd'.repeat(32)}.scope`
const [ID, OTHER_ID] = ['ab'.repeat(16).slice(0, 31), 'cd'.repeat(16).slice(0, 31)]
const LONG = 'x'.repeat(200)

test('table: a moved process is in its new container in its next events', () => {
  const { table, shellStart } = withShell()
  const image = table.exec(exec(200, 6000, 100, shellStart), 0)
  const steps: ReadonlyArray<readonly [RawMove, docker: string]> = [
    [move(200, 6000, [CONTAINER]), ID],
    [move(200, 6000, ['nginx.service', OTHER, CONTAINER]), OTHER_ID],
    // Long names of its own cgroups push the container's name out of the record, but it cannot hide this way.
    [move(200, 6000, [LONG, LONG, LONG], true), OTHER_ID],
    [move(200, 6000, [LONG]), ''],
    [move(200, 5999, [CONTAINER]), ''], // another image
    [move(999, 6000, [CONTAINER]), ''], // an unknown process
  ]
  for (const [record, docker] of steps) {
    const { process: before } = image
    const was = before.docker
    before.rendered.keep('json', new Uint8Array(8))
    table.move(record)
    assert.equal(image.process.docker, docker)
    // Events from before the move have the process as it was.
    assert.equal(before.docker, was)
    assert.equal(image.process === before, docker === was)
    assert.equal(image.process.rendered.json === undefined, docker !== was)
  }
  const children = table.fork(fork(201, 6001, 200, 6000), 0)
  assert.equal(children?.parent?.process, image.process)
  assert.equal(image.process.refcnt, 2)
})

test('table: a child is in its parent’s container unless its record has another', () => {
  const { table, shellStart } = withShell()
  table.exec(exec(200, 6000, 100, shellStart, { cgroup: CONTAINER }), 0)
  const into = (cgroup: readonly string[] | undefined, cut = false): string | undefined =>
    table.fork({ ...fork(201, 6001, 200, 6000), ...names(cgroup, cut) }, 0)?.process.docker
  assert.equal(into(undefined), ID)
  assert.equal(into([OTHER]), OTHER_ID)
  assert.equal(into([]), '')
  assert.equal(into([LONG], true), ID)
})

test('table: an exec below too many cgroups stays in the container where it was', () => {
  const { table, shellStart } = withShell()
  table.exec(exec(200, 6000, 100, shellStart, { cgroup: CONTAINER }), 0)
  const hidden = names([LONG, LONG], true)
  const again = table.exec(exec(200, 6001, 200, 6000, {}, { flags: PROCESS_FLAGS.execve, ...hidden }), 0)
  assert.equal(again.process.docker, ID)
  assert.equal(table.exec(exec(300, 6002, 200, 6001, {}, hidden), 0).process.docker, ID)
  assert.equal(table.exec(exec(301, 6003, 200, 6001), 0).process.docker, '')
})

/** Every image that is reachable from `from`. */
function reachable(from: readonly (Image | undefined)[]): Set<Image> {
  const seen = new Set<Image>()
  const todo = [...from]
  for (let image = todo.pop(); image !== undefined || todo.length > 0; image = todo.pop()) {
    if (image === undefined || seen.has(image)) continue
    seen.add(image)
    todo.push(image.parent, image.previous, image.newer)
  }
  return seen
}

test('table: 100,000 execs in one pid leave one image and no chain of previous ones', () => {
  const { table, shell } = withShell()
  let start = shell.startLo
  // A child of the first image, which lives longer and has it as parent.
  const child = table.fork(fork(150, 1, 100, start), 0)
  for (let i = 0; i < 100_000; i++) {
    const next = start + 1
    table.exec(exec(100, next, 100, start, {}, { flags: PROCESS_FLAGS.execve }), i)
    start = next
    if (i % 2000 === 0) table.sweep(i)
  }
  table.sweep(100_000 + GRACE_MS)
  const current = table.find(100, 0, 0)
  assert.equal(current?.startLo, start)
  assert.equal(table.size, 3)
  // The kernel, the image, its parent (the one before it), the child, the shell it came from.
  assert.ok(reachable([current, child]).size <= 5)
  assert.deepEqual(current?.process.refcnt, 1)
})

test('table: 100,000 short processes leave nothing in the table, and sweeping them does not slow down', () => {
  const { table, shell, shellStart } = withShell()
  for (let i = 0; i < 100_000; i++) {
    const pid = 1000 + (i % 30_000)
    table.fork(fork(pid, i + 1, 100, shellStart), i)
    table.exec(exec(pid, 200_000 + i, 100, shellStart), i)
    table.exit(pid, 200_000 + i, 0, i)
    if (i % 2000 === 0) table.sweep(i)
  }
  assert.ok(table.size < 10_000, `${table.size}`)
  table.sweep(100_000 + GRACE_MS)
  assert.equal(table.size, 2)
  assert.equal(shell.process.refcnt, 1)
})

test('table: 20,000 execs of one pid within one grace period are swept in well under a second', () => {
  const { table, shell } = withShell()
  let start = shell.startLo
  for (let i = 0; i < 20_000; i++) table.exec(exec(100, start + 1, 100, start++), 0)
  const before = process.cpuUsage()
  table.sweep(GRACE_MS)
  // Walking the chain for each took 20,000² / 2 steps: seconds. Processor time: the machine may be busy.
  const microseconds = process.cpuUsage(before).user
  assert.ok(microseconds < 500_000, `${microseconds} µs`)
  assert.equal(table.find(100, start, 0)?.previous, undefined)
})
