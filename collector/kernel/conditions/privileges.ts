/**
 * The namespaces and capabilities that processes had at their last fork or exec (bpf/process/privileges.h): kept while policies filter on
 * changes. If a process ran before, they are its present ones at the time when the first of these policies is added.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import type { Policy } from '../../../config/policy/policy.ts'
import { errnoOf } from '../../../config/base/unreadable.ts'
import type { BpfMap, BpfObject } from '../../../native/types.ts'
import { statusWords } from '../../host/proc-stat.ts'
import { Turns } from '../../host/turns.ts'
import { u32 } from '../../wire/bytes.ts'
import type { Finding } from '../watched/finding.ts'
import { KeptMap } from '../watched/kept-map.ts'
import { asksOfChanges } from '../../plan/layout/selector.ts'
import type { SharedMaps } from '../../plan/objects.ts'
import { CAPABILITY_SETS, NAMESPACES, PRIVILEGES } from '../../wire/wire.ts'
import { NAMESPACE_FILES } from './host-namespaces.ts'

/** Size of the map of the last matched values if no policy needs it. */
export const NO_CHANGES = { changed: 1 }

/** A namespace without a process (kernel/pid_namespace.c pidns_for_children_get): the task has not forked since it entered it. */
const NO_PROCESS_YET = '[0]'
/** Stands for the time of a fork or exec. */
const WAS_READ = 1n
const ENTRIES_AT_ONCE = 1024

const asking = (policies: readonly Policy[]): number =>
  policies.filter(({ hooks }) => hooks.some(({ selectors }) => selectors.some(asksOfChanges))).length

type Maps = Pick<SharedMaps, 'privileges' | 'processes'>

export class Privileges {
  readonly #maps: Maps
  readonly #wanted: KeptMap
  readonly #procfs: string
  #policies = 0
  #cleared: Promise<void> = Promise.resolve()
  #stopped = false
  /** By its name in bpf/match/task.h; made with the first program that needs it, and shared by the others. */
  maps: { readonly changed?: BpfMap } = {}

  constructor(maps: Maps & Pick<SharedMaps, 'privileges_wanted'>, procfs: string) {
    this.#maps = maps
    this.#wanted = new KeptMap(maps.privileges_wanted, { additions: false })
    this.#procfs = procfs
  }

  /** Call it before their programs run. */
  async add(policies: readonly Policy[]): Promise<void> {
    const more = asking(policies)
    if (more === 0) return
    this.#policies += more
    if (this.#policies === more) await this.#begin()
  }

  /** Call it when no program serves these policies any more. */
  remove(policies: readonly Policy[]): void {
    const fewer = asking(policies)
    if (fewer === 0) return
    this.#policies -= fewer
    if (this.#policies > 0) return
    this.#wanted.update(u32(0), u32(0))
    // After an error, such as a lack of memory, `#begin` removes the rest.
    this.#cleared = this.#clear().catch(() => {})
  }

  /** Finds and repairs changes of the switch by other processes. */
  check(): Finding[] {
    return this.#wanted.check()
  }

  /** Call it after a program that needs the map was loaded. */
  loaded(object: Pick<BpfObject, 'map'>): void {
    if (this.maps.changed === undefined) this.maps = { changed: object.map('changed') }
  }

  async #begin(): Promise<void> {
    await this.#cleared
    // Removes entries that programs still added at the end: their pids may belong to other processes by now.
    await this.#clear()
    this.#wanted.update(u32(0), u32(1))
    const turns = new Turns()
    for (const name of readdirSync(this.#procfs)) {
      if (!/^\d+$/.test(name)) continue
      this.#read(Number(name))
      if (turns.over) await turns.rest()
      if (this.#stopped) return
    }
  }

  /** A later entry by a fork or exec wins. */
  #read(pid: number): void {
    const read = readPrivileges(this.#procfs, pid)
    if (read === undefined) return
    this.#maps.privileges.update(u32(pid), read, true)
    // Nothing else would remove an exited process's entry.
    if (this.#maps.processes.lookup(u32(pid)) === undefined) this.#maps.privileges.delete(u32(pid))
  }

  async #clear(): Promise<void> {
    const turns = new Turns()
    while (!this.#stopped) {
      const { keys, count } = this.#maps.privileges.part(ENTRIES_AT_ONCE)
      if (count === 0) return
      for (let i = 0; i < count; i++) this.#maps.privileges.delete(keys.subarray(i * 4, i * 4 + 4))
      if (turns.over) await turns.rest()
    }
  }

  /** Call it before the maps are closed: running work ends at its next turn. */
  stop(): void {
    this.#stopped = true
  }

  close(): void {
    this.maps.changed?.close()
  }
}

/** Lines of /proc/PID/status. */
const SETS = [
  ['effective', 'CapEff'],
  ['inheritable', 'CapInh'],
  ['permitted', 'CapPrm'],
] as const

/**
 * `struct privileges` of a process now; undefined if it cannot be read: every filter on changes then lets its first call through. If only
 * that namespace is unknown, a filter on `PidForChildren` does so.
 */
export function readPrivileges(procfs: string, pid: number): Buffer | undefined {
  const bytes = Buffer.alloc(PRIVILEGES.bytes)
  bytes.writeBigUInt64LE(WAS_READ, PRIVILEGES.sinceNs)
  try {
    const status = readFileSync(`${procfs}/${pid}/status`, 'utf8')
    for (const [set, line] of SETS) {
      const [digits] = statusWords(status, line)
      if (digits === undefined) return undefined
      bytes.writeBigUInt64LE(BigInt(`0x${digits}`), PRIVILEGES.capabilities + 8 * CAPABILITY_SETS[set])
    }
    for (const [kind, at] of Object.entries(NAMESPACES)) {
      const link = readNamespace(`${procfs}/${pid}/ns`, kind as keyof typeof NAMESPACES)
      const [, inode] = /\[(\d+)\]$/.exec(link) ?? []
      bytes.writeUInt32LE(Number(inode ?? 0), PRIVILEGES.namespaces + 4 * at)
    }
    return bytes
  } catch {
    return undefined
  }
}

function readNamespace(folder: string, kind: keyof typeof NAMESPACES): string {
  try {
    return readlinkSync(`${folder}/${NAMESPACE_FILES[kind]}`)
  } catch (error) {
    if (kind === 'pidForChildren' && errnoOf(error) === 'ENOENT') return NO_PROCESS_YET
    throw error
  }
}
