/** The namespaces and capabilities of processes that ran before: read while policies filter by changes, and removed after. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Privileges, readPrivileges } from '../../../../../collector/kernel/conditions/privileges.ts'
import { u32 } from '../../../../../collector/wire/bytes.ts'
import { CAPABILITY_SETS, NAMESPACES, PRIVILEGES } from '../../../../../collector/wire/wire.ts'
import type { Policy, TaskFilter } from '../../../../../config/policy/policy.ts'
import { NativeError } from '../../../../../native/index.ts'
import type { BpfMap } from '../../../../../native/types.ts'
import { Folder } from '../../../exporters/support/folder.ts'
import { spec } from '../../support/specs.ts'

const at = { line: 1, col: 1 }
const CHANGE: TaskFilter = { class: 'namespaceChange', namespaces: ['mnt'], at }
const PLAIN: TaskFilter = { class: 'namespace', namespace: 'mnt', operator: 'Equal', values: ['host'], at }

const policyOf = (name: string, filter: TaskFilter): Policy => ({
  name,
  file: `${name}.yaml`,
  hooks: [spec({ selectors: [{ matchArgs: [], task: [filter] }] })],
  groups: [],
})

/** A process in a folder that is like /proc. */
function write(procfs: string, pid: number, status = 'CapInh:\t0\nCapPrm:\t01ff\nCapEff:\tff\nCapBnd:\t7\n'): void {
  mkdirSync(join(procfs, String(pid), 'ns'), { recursive: true })
  writeFileSync(join(procfs, String(pid), 'status'), status)
  const names = 'uts ipc mnt pid pid_for_children net time time_for_children cgroup user'.split(' ')
  names.forEach((name, i) => symlinkSync(`${name}:[${4026531000 + i}]`, join(procfs, String(pid), 'ns', name)))
}

interface FakeMap extends BpfMap {
  readonly entries: Map<number, Buffer>
}

function mapOf(...pids: readonly number[]): FakeMap {
  const entries = new Map<number, Buffer>(pids.map((pid) => [pid, Buffer.alloc(PRIVILEGES.bytes)]))
  const key = (bytes: Uint8Array): number => Buffer.from(bytes).readUInt32LE()
  return {
    entries,
    lookup: (bytes: Uint8Array) => entries.get(key(bytes)),
    lookupAll: (keys: readonly Uint8Array[]) => keys.map((bytes) => entries.get(key(bytes))),
    update: (bytes: Uint8Array, value: Uint8Array, isNew = false) => {
      if (isNew && entries.has(key(bytes))) return false
      entries.set(key(bytes), Buffer.from(value))
      return true
    },
    delete: (bytes: Uint8Array) => entries.delete(key(bytes)),
    part: (most: number) => {
      const keys = [...entries.keys()].slice(0, most)
      return { keys: Buffer.concat(keys.map(u32)), values: Buffer.alloc(0), count: keys.length, next: undefined }
    },
  } as unknown as FakeMap
}

test('privileges: all sets and namespaces of a process; unknown when one cannot be read', async () => {
  using folder = new Folder()
  write(folder.path, 7)
  const bytes = readPrivileges(folder.path, 7) ?? assert.fail()
  assert.equal(bytes.readBigUInt64LE(PRIVILEGES.capabilities + 8 * CAPABILITY_SETS.effective), 0xffn)
  assert.equal(bytes.readBigUInt64LE(PRIVILEGES.capabilities + 8 * CAPABILITY_SETS.permitted), 0x1ffn)
  assert.equal(bytes.readUInt32LE(PRIVILEGES.namespaces + 4 * NAMESPACES.mnt), 4026531002)
  assert.equal(bytes.readUInt32LE(PRIVILEGES.namespaces + 4 * NAMESPACES.user), 4026531009)
  assert.equal(readPrivileges(folder.path, 8), undefined)
  write(folder.path, 9, 'Name:\tnode\n')
  assert.equal(readPrivileges(folder.path, 9), undefined)
  write(folder.path, 10)
  rmSync(join(folder.path, '10/ns/net'))
  assert.equal(readPrivileges(folder.path, 10), undefined)
})

test('privileges: for a process that has not forked since it left its pid namespace, all other namespaces are known', () => {
  using folder = new Folder()
  write(folder.path, 7)
  rmSync(join(folder.path, '7/ns/pid_for_children'))
  const bytes = readPrivileges(folder.path, 7) ?? assert.fail()
  const inode = (kind: number): number => bytes.readUInt32LE(PRIVILEGES.namespaces + 4 * kind)
  assert.deepEqual([inode(NAMESPACES.pidForChildren), inode(NAMESPACES.pid)], [0, 4026531003])
})

test('privileges: are read with the first such policy, and removed after the last', async () => {
  using folder = new Folder()
  for (const pid of [7, 8, 9]) write(folder.path, pid)
  mkdirSync(join(folder.path, 'sys'))
  // A program added 5 after the end; 9 has exited meanwhile.
  const maps = { privileges: mapOf(5), privileges_wanted: mapOf(), processes: mapOf(7, 8) }
  const wanted = (): number | undefined => maps.privileges_wanted.entries.get(0)?.readUInt32LE()
  const known = (): number[] => [...maps.privileges.entries.keys()]
  const privileges = new Privileges(maps, folder.path)
  await privileges.add([policyOf('plain', PLAIN)])
  assert.deepEqual([wanted(), known()], [undefined, [5]])
  await privileges.add([policyOf('a', CHANGE), policyOf('b', CHANGE)])
  assert.deepEqual([wanted(), known()], [1, [7, 8]])
  // An entry of the kernel side wins.
  maps.privileges.entries.get(7)?.fill(1)
  await privileges.add([policyOf('c', CHANGE)])
  assert.equal(maps.privileges.entries.get(7)?.[0], 1)
  privileges.remove([policyOf('a', CHANGE), policyOf('plain', PLAIN)])
  privileges.remove([policyOf('b', CHANGE)])
  assert.deepEqual([wanted(), known()], [1, [7, 8]])
  privileges.remove([policyOf('c', CHANGE)])
  assert.deepEqual([wanted(), known()], [0, []])
  await privileges.add([policyOf('a', CHANGE)])
  assert.deepEqual([wanted(), known()], [1, [7, 8]])
})

test('privileges: programs share the map of last matches of the first such program', () => {
  const privileges = new Privileges({ privileges: mapOf(), privileges_wanted: mapOf(), processes: mapOf() }, '/none')
  const maps = [mapOf(1), mapOf(2)]
  for (const map of maps) privileges.loaded({ map: () => map })
  assert.equal(privileges.maps.changed, maps[0])
})

test('privileges: removing stored entries ends if the maps are closed meanwhile', async () => {
  using folder = new Folder()
  const kept = mapOf(...Array.from({ length: 3000 }, (_, i) => i + 1))
  const part = kept.part.bind(kept)
  let closed = false
  let parts = 0
  kept.part = (most) => {
    if (closed) throw new Error('part: map "privileges" is closed')
    // A number of entries whose removal takes longer than one turn of the event loop may.
    const end = performance.now() + 6
    while (performance.now() < end);
    if (wanted.entries.get(0)?.readUInt32LE() === 0) parts++
    return part(most)
  }
  const wanted = mapOf()
  const privileges = new Privileges({ privileges: kept, privileges_wanted: wanted, processes: mapOf() }, folder.path)
  await privileges.add([policyOf('a', CHANGE)])
  for (let pid = 1; pid <= 3000; pid++) kept.entries.set(pid, Buffer.alloc(PRIVILEGES.bytes))
  privileges.remove([policyOf('a', CHANGE)])
  privileges.stop()
  closed = true
  // An unhandled rejection would fail the test.
  for (let i = 0; i < 5; i++) await setImmediate()
  assert.equal(parts, 1)
})

test('privileges: a failed removal of stored entries ends nothing, and the next policy begins anew', async () => {
  using folder = new Folder()
  const kept = mapOf(5)
  const part = kept.part.bind(kept)
  const privileges = new Privileges({ privileges: kept, privileges_wanted: mapOf(), processes: mapOf() }, folder.path)
  await privileges.add([policyOf('a', CHANGE)])
  kept.part = () => {
    throw new NativeError('MAP_FAILED', 'no memory')
  }
  privileges.remove([policyOf('a', CHANGE)])
  // An unhandled rejection would fail the test.
  for (let i = 0; i < 5; i++) await setImmediate()
  kept.part = part
  kept.entries.set(6, Buffer.alloc(PRIVILEGES.bytes))
  await privileges.add([policyOf('b', CHANGE)])
  assert.equal(kept.entries.size, 0)
})
