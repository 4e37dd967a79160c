/** Cgroups by their names, pods as the API server has them → entries of the kernel's map for cgroups. */
import assert from 'node:assert/strict'
import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Announcements } from '../../../../collector/identity/announced.ts'
import { workloadPlace } from '../../../../collector/process/cgroup-names.ts'
import { cgroupsAt, scanCgroups } from '../../../../collector/identity/cgroup-tree.ts'
import { Pods } from '../../../../collector/identity/pods.ts'
import { Workloads, repositoryOf } from '../../../../collector/identity/workloads.ts'
import type { WorkloadEntry } from '../../../../collector/kernel/conditions/workload-entries.ts'
import { WorkloadMap, workloadBytes } from '../../../../collector/kernel/conditions/workload-entries.ts'
import { WORKLOAD, WORKLOAD_POD } from '../../../../collector/wire/wire.ts'
import type { WorkloadFilter } from '../../../../config/policy/policy.ts'
import { NativeError } from '../../../../native/index.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { ID, OTHER_ID, UID, known } from './support/pods.ts'

const OTHER_UID = `2${UID.slice(1)}`
const at = { line: 1, col: 1 }
const all: WorkloadFilter = { namespace: '', pods: undefined, containers: undefined, host: false, at }
const named = (name: string): WorkloadFilter['pods'] => [{ key: 'name', operator: 'In', values: [name] }]
const inNamespace = (name: string): WorkloadFilter['pods'] => [
  { key: 'k8s:io.kubernetes.pod.namespace', operator: 'In', values: [name] },
]

interface Rig {
  readonly workloads: Workloads
  readonly pods: Pods
  readonly entries: Map<bigint, WorkloadEntry>
  /** Entries that the map has room for. */
  room: number
  puts: number
  nowMs: number
}

function rig(room = 1e6): Rig {
  const made: Omit<Rig, 'workloads' | 'pods'> = { entries: new Map(), room, puts: 0, nowMs: 0 }
  const pods = new Pods(() => made.nowMs)
  const workloads = new Workloads(pods)
  workloads.connect({
    put: (id, entry) => {
      made.puts++
      if (made.entries.size >= made.room && !made.entries.has(id)) return false
      made.entries.set(id, entry)
      return true
    },
    delete: (id) => void made.entries.delete(id),
  })
  return Object.assign(made, { workloads, pods })
}

/** Bits that hold, and `?` when something is not known. */
const shown = ({ entries }: Rig, id: bigint): string => {
  const { kind, holds, partial } = entries.get(id) ?? assert.fail(`no entry ${id}`)
  return `${kind} ${holds.toString(2)}${partial ? '?' : ''}`
}

const FILTERS: readonly WorkloadFilter[] = [
  { ...all, host: true },
  { ...all, containers: named('main') },
  { ...all, pods: inNamespace('default') },
  { ...all, pods: inNamespace('default'), containers: named('side') },
  { ...all, host: true, pods: inNamespace('other') },
  { ...all, namespace: 'default', pods: [] },
  { ...all, namespace: 'other', pods: [] },
  { ...all, containers: [{ key: 'repo', operator: 'In', values: ['docker.io/library/busybox'] }] },
]
const CONDITIONS = FILTERS.map((filter, bit) => ({ bit, filter }))

test('workloads: conditions of the host, a pod and a container, as more becomes known', async () => {
  const made = rig()
  const { workloads, pods } = made
  await workloads.use(CONDITIONS)
  workloads.made(1n, [])
  workloads.made(2n, ['system.slice'])
  workloads.made(3n, [`pod${UID}`])
  workloads.made(4n, [ID, `pod${UID}`])
  workloads.made(5n, [`docker-${OTHER_ID}.scope`])
  assert.deepEqual(
    [1n, 2n, 3n, 4n, 5n].map((id) => shown(made, id)),
    ['host 10001', 'host 10001', 'pod 0?', 'container 0?', 'host 10001'],
  )
  pods.set(known({}), undefined)
  assert.deepEqual([shown(made, 3n), shown(made, 4n)], ['pod 100100?', 'container 100100?'])
  pods.set(known({ id: ID }), known({}))
  assert.deepEqual([shown(made, 3n), shown(made, 4n)], ['pod 100100?', 'container 10100110'])
  // A container whose cgroup does not lie below its pod's.
  pods.set(known({ id: OTHER_ID }), known({ id: ID }))
  assert.equal(shown(made, 5n), 'container 10100110')
})

test('workloads: a pod that is deleted counts for a minute', async () => {
  const made = rig()
  await made.workloads.use(CONDITIONS)
  const pod = known({ id: ID })
  made.pods.set(pod, undefined)
  made.workloads.made(4n, [ID, `pod${UID}`])
  made.pods.delete(pod)
  made.pods.tick()
  assert.equal(shown(made, 4n), 'container 10100110')
  made.nowMs = 61_000
  made.pods.tick()
  assert.equal(shown(made, 4n), 'container 0?')
})

test('workloads: with other conditions every cgroup is evaluated again, and written only if the result differs', async () => {
  const made = rig()
  for (let id = 1n; id <= 100n; id++) made.workloads.made(id, [`s${id}.service`])
  made.workloads.made(101n, [ID, `pod${UID}`])
  made.puts = 0
  await made.workloads.use([{ bit: 70, filter: { ...all, containers: [] } }])
  assert.equal(made.puts, 1)
  assert.equal(shown(made, 101n), 'container 0?')
  await made.workloads.use([{ bit: 70, filter: { ...all, host: true } }])
  assert.equal(made.puts, 102)
  assert.equal(made.entries.get(1n)?.holds, 1n << 70n)
})

test('workloads: removed cgroups are forgotten, by a record or because a scan does not find them', async () => {
  const made = rig()
  const { workloads, entries } = made
  for (const id of [1n, 2n, 3n]) workloads.made(id, [`s${id}`])
  workloads.gone(1n)
  workloads.gone(1n)
  await workloads.scan('/proc', (_procfs, found) => {
    found(2n, ['s2'])
    // Made while it runs: by a record.
    workloads.made(4n, ['s4'])
    return Promise.resolve(undefined)
  })
  assert.deepEqual([...entries.keys()], [2n, 4n])
  assert.equal(workloads.size, 2)
  await workloads.scan('/proc', () => Promise.resolve('unreadable'))
  assert.equal(workloads.size, 2)
  assert.equal(workloads.refusal({ ...all, host: true }), 'unreadable')
})

test('workloads: a scan that ends during another one removes no cgroup that it has found', async () => {
  const { workloads, entries } = rig()
  for (const id of [1n, 2n, 3n]) workloads.made(id, [`s${id}`])
  const [first, second] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
  const scanned = workloads.scan('/proc', (_procfs, found) => {
    found(1n, ['s1'])
    found(2n, ['s2'])
    return first.promise
  })
  const again = workloads.scan('/proc', (_procfs, found) => {
    found(2n, ['s2'])
    return second.promise
  })
  first.resolve(undefined)
  await scanned
  assert.deepEqual([...entries.keys()], [1n, 2n])
  second.resolve(undefined)
  await again
  assert.deepEqual([...entries.keys()], [2n])
})

test('workloads: users of the host, and a container, cannot make the table grow', () => {
  const made = rig()
  const { workloads } = made
  for (let id = 1n; id <= 10_000n; id++) workloads.made(id, [`u${id}`])
  assert.equal(workloads.size, 4_096)
  for (let id = 20_000n; id < 30_000n; id++) workloads.made(id, [`n${id}`, ID, `pod${UID}`])
  assert.equal(workloads.size, 4_096)
  for (let id = 30_000n; id < 60_000n; id++) workloads.made(id, [id.toString(16).padStart(64, '0'), `pod${UID}`])
  assert.equal(workloads.size, 16_384)
  workloads.gone(1n)
  workloads.made(1n, ['u1'])
  assert.equal(workloads.size, 16_384)
})

test('workloads: an entry without room is tried again', async () => {
  const made = rig(1)
  made.workloads.made(1n, ['a'])
  made.workloads.made(2n, ['b'])
  assert.equal(await made.workloads.use([]), false)
  made.room = 2
  assert.equal(await made.workloads.use([]), true)
})

test('workloads: without pods, policies with pod conditions are refused', () => {
  const workloads = new Workloads(undefined)
  const want = 'no pod is known to this agent: set kubernetes.pods: true in its config'
  assert.equal(workloads.refusal({ ...all, host: true }), undefined)
  for (const filter of FILTERS.slice(1)) assert.equal(workloads.refusal(filter), want)
})

const SLICE = `kubepods-besteffort-pod${UID.replaceAll('-', '_')}.slice`
const PLACES: ReadonlyArray<readonly [path: string, want: string]> = [
  ['/system.slice/nginx.service', ' '],
  [`/kubepods.slice/${SLICE}`, `${UID} `],
  [`/kubepods.slice/${SLICE}/cri-containerd-${ID}.scope`, `${UID} ${ID}`],
  [`/kubepods.slice/${SLICE}/crio-${ID}.scope/container`, `${UID} ${ID} nested`],
  [`/system.slice/${SLICE}:cri-containerd:${ID}`, `${UID} ${ID}`],
  [`/kubepods/pod${UID}/${ID}/docker/${OTHER_ID}`, `${UID} ${ID} nested`],
  [`/kubepods/pod${UID}/${ID}/pod${OTHER_UID}/${OTHER_ID}`, `${UID} ${ID} nested`],
  [`/kubepods/pod${UID}/crio-conmon-${ID}.scope`, ' '],
  [`/kubepods/pod${UID}/crio-conmon-${ID}.scope/x`, ' '],
  [`/docker/${OTHER_ID}/kubelet/kubepods/pod${UID}/${ID}`, `${UID} ${ID}`],
  [`/docker/${OTHER_ID}`, ` ${OTHER_ID}`],
]
for (const [path, want] of PLACES) {
  test(`workloads: ${path}`, () => {
    const { podUid, container, nested } = workloadPlace(path.split('/').toReversed())
    assert.equal(`${podUid} ${container}${nested ? ' nested' : ''}`, want)
  })
}

const IMAGES: ReadonlyArray<readonly [image: string, want: string]> = [
  ['busybox', 'busybox'],
  ['docker.io/library/busybox:1.36', 'docker.io/library/busybox'],
  ['localhost:5000/busybox', 'localhost:5000/busybox'],
  ['localhost:5000/busybox:1@sha256:3fbc', 'localhost:5000/busybox'],
  ['sha256:3fbc', 'sha256'],
  ['', ''],
]
for (const [image, want] of IMAGES)
  test(`workloads: the repository of ${image}`, () => assert.equal(repositoryOf(image), want))

test('workloads: the tree of cgroups, with names that may be a container’s', async (t) => {
  const procfs = mkdtempSync(join(tmpdir(), 'ktrail-tree-'))
  t.after(() => rmSync(procfs, { recursive: true }))
  const scan = async (): Promise<Array<readonly [bigint, string]> | string> => {
    const found: Array<readonly [bigint, string]> = []
    return (await scanCgroups(procfs, (id, names) => found.push([id, names.join(' ')]))) ?? found
  }
  assert.match(String(await scan()), /^cannot read the cgroups of this host, so pods cannot be distinguished: ENOENT/)
  const top = join(procfs, '1/root/sys/fs/cgroup')
  const ino = (...path: string[]): bigint => statSync(join(top, ...path), { bigint: true }).ino
  mkdirSync(join(top, 'kubepods', `pod${UID}`, ID, 'x'), { recursive: true })
  writeFileSync(join(procfs, '1/cgroup'), '0::/init.scope\n')
  writeFileSync(join(procfs, '1/mounts'), 'tmpfs / tmpfs rw 0 0\n')
  assert.match(String(await scan()), /: no cgroup file system is mounted$/)
  writeFileSync(join(procfs, '1/mounts'), 'tmpfs / tmpfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n')
  assert.deepEqual(await scan(), [
    [ino(), ''],
    [ino('kubepods'), 'kubepods'],
    [ino('kubepods', `pod${UID}`), `pod${UID}`],
    [ino('kubepods', `pod${UID}`, ID), `${ID} pod${UID}`],
    [ino('kubepods', `pod${UID}`, ID, 'x'), `x ${ID} pod${UID}`],
  ])
  // As root: the owner of the cgroup above may have chosen the name.
  if (process.getuid?.() === 0) {
    chownSync(join(top, 'kubepods'), 65_534, 65_534)
    assert.deepEqual(await scan(), [
      [ino(), ''],
      [ino('kubepods'), 'kubepods'],
    ])
  }
  // v1: by the controllers that count; ids say of which hierarchy.
  rmSync(top, { recursive: true })
  for (const name of ['memory', 'cpu,cpuacct', 'unified']) mkdirSync(join(top, name, 'a'), { recursive: true })
  // pids has a hierarchy, which is not mounted any more.
  writeFileSync(join(procfs, '1/cgroup'), '9:memory:/\n5:pids:/\n4:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n')
  const mounts = ['memory', 'cpu,cpuacct'].map((name) => `cgroup /sys/fs/cgroup/${name} cgroup rw,nosuid,${name} 0 0\n`)
  writeFileSync(join(procfs, '1/mounts'), `${mounts.join('')}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`)
  const v1 = (id: bigint): bigint => id ^ (9n << 56n)
  assert.deepEqual(await scan(), [
    [v1(ino('memory')), ''],
    [v1(ino('memory', 'a')), 'a'],
    [ino('unified'), ''],
    [ino('unified', 'a'), 'a'],
  ])
  // v1 alone: a process in no cgroup is in the root of the unified hierarchy all the same.
  writeFileSync(join(procfs, '1/mounts'), mounts.join(''))
  assert.deepEqual(await scan(), [
    [1n, ''],
    [v1(ino('memory')), ''],
    [v1(ino('memory', 'a')), 'a'],
  ])
})

test('workloads: the entries of the kernel’s map', () => {
  const bytes = workloadBytes({ kind: 'pod', holds: (1n << 64n) | (1n << 511n), partial: true })
  assert.equal(bytes.length, WORKLOAD.bytes)
  assert.deepEqual([bytes[WORKLOAD.holds + 8], bytes[WORKLOAD.holds + 63]], [1, 0x80])
  assert.equal(bytes.readUInt32LE(WORKLOAD.kind), WORKLOAD_POD)
  assert.equal(bytes.readUInt32LE(WORKLOAD.partial), 1)
})

test('workloads: programs forget remembered cgroups after each change of the kernel’s map, even a failed one', () => {
  const written: string[] = []
  const numbers = new Set<bigint>()
  let full = false
  const unused = (): never => assert.fail('not used')
  const map = new WorkloadMap({
    workloads: {
      info: { name: 'workloads', keySize: 8, valueSize: 72, maxEntries: 4, perCpu: 1 },
      lookupAll: unused,
      part: unused,
      update: (id) => {
        if (full) throw new NativeError('MAP_FAILED', 'full')
        return written.push(`put ${id[0]}`) > 0
      },
      delete: (id) => written.push(`delete ${id[0]}`) > 0,
    },
    '.data.change': {
      update: (_, value) => {
        numbers.add(Buffer.from(value).readBigUInt64LE())
        return written.push('number') > 0
      },
    },
  })
  const entry = { kind: 'host', holds: 0n, partial: false } as const
  assert.equal(map.put(1n, entry), true)
  map.delete(1n)
  full = true
  assert.equal(map.put(2n, entry), false)
  map.forget()
  assert.deepEqual(written, ['number', 'put 1', 'number', 'delete 1', 'number', 'number', 'number'])
  assert.equal(numbers.size, 5)
})

test('workloads: an announced container is evaluated by the announced data, in its original cgroup', async () => {
  const entries = new Map<bigint, WorkloadEntry>()
  const pods = new Pods()
  const announced = new Announcements()
  const workloads = new Workloads(pods, announced)
  workloads.connect({
    put: (id, entry) => entries.set(id, entry) !== undefined,
    delete: (id) => void entries.delete(id),
  })
  await workloads.use(CONDITIONS)
  pods.set(known({}), undefined)
  // The record of the first has come, that of the second has not.
  workloads.made(1n, [ID, `pod${UID}`])
  announced.listen((each) => workloads.announce(each, [{ id: 2n, names: [OTHER_ID, `pod${UID}`] }]))
  for (const containerID of [ID, OTHER_ID]) {
    await announced.add({
      containerID,
      cgroupsPath: '',
      annotations: {},
      containerName: containerID === ID ? 'main' : 'side',
      containerImage: 'docker.io/library/busybox:1.36',
      podUID: UID,
    })
  }
  assert.deepEqual(
    [1n, 2n].map((id) => shown({ entries } as Rig, id)),
    ['container 10100110', 'container 10101100'],
  )
})

test('workloads: the cgroups at a path, on v2 and on v1 with several hierarchies; none outside of them', () => {
  using folder = new Folder()
  const top = folder.at('1/root/sys/fs/cgroup')
  const path = `/kubepods/pod${UID}/${ID}`
  mkdirSync(`${top}${path}`, { recursive: true })
  writeFileSync(folder.at('1/mounts'), 'cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n')
  writeFileSync(folder.at('1/cgroup'), '0::/init.scope\n')
  const inode = (place: string): bigint => statSync(place, { bigint: true }).ino
  const names = [ID, `pod${UID}`]
  assert.deepEqual(cgroupsAt(folder.path, path), [{ id: inode(`${top}${path}`), names }])
  for (const other of ['/none', '/', '', '/../..', `/kubepods/../kubepods`])
    assert.deepEqual(cgroupsAt(folder.path, other), [])
  writeFileSync(folder.at('1/cgroup'), '7:memory:/\n5:pids:/\n3:cpu:/\n')
  const controllers = ['memory', 'pids']
  const mounts = controllers.map((each) => `cgroup /sys/fs/cgroup/${each} cgroup rw,${each} 0 0\n`)
  writeFileSync(folder.at('1/mounts'), mounts.join(''))
  for (const controller of controllers) mkdirSync(`${top}/${controller}${path}`, { recursive: true })
  assert.deepEqual(cgroupsAt(folder.path, path), [
    { id: inode(`${top}/memory${path}`) ^ (7n << 56n), names },
    { id: inode(`${top}/pids${path}`) ^ (5n << 56n), names },
  ])
  assert.deepEqual(cgroupsAt(folder.at('none'), path), [])
})
