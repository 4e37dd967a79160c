/** The existing cgroups, from their file systems: ids as in records (bpf/process/cgroup.h) and names. */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Turns } from '../host/turns.ts'

/** bpf/process/cgroup.h CGROUP_HIERARCHY_SHIFT and CGROUP_NAME_SHORTEST */
const HIERARCHY_SHIFT = 56n
const NAME_SHORTEST = 35
/** More than a node has; a bound on a tree that others make. */
const MOST = 65_536

/** The root of the unified hierarchy, even if not mounted, has processes without a place on v1. First inode of fs/kernfs/dir.c. */
const UNIFIED_ROOT = 1n

/** The controllers by which a process is placed, if they are on hierarchies of v1 (bpf/process/cgroup.h). */
const PLACING = ['memory', 'pids', 'cpuset']

interface Hierarchy {
  readonly number: bigint
  readonly folder: string
}

/**
 * Calls `made` for each cgroup, from the root down: its own name, then longer ones above it. Returns the reason if they cannot be read.
 * `procfs`: of the host; its pid 1 has the host's mounts. Leaves out cgroups below one with another owner than the root, who chose the names.
 */
export async function scanCgroups(
  procfs: string,
  made: (id: bigint, names: readonly string[]) => void,
): Promise<string | undefined> {
  try {
    const turns = new Turns()
    let found = 0
    const mounted = hierarchies(procfs)
    if (!mounted.some(({ number }) => number === 0n)) made(UNIFIED_ROOT, [])
    for (const { number, folder } of mounted) {
      const left: Array<{ readonly folder: string; readonly names: readonly string[] }> = [{ folder, names: [] }]
      let owner: bigint | undefined
      for (let next = left.pop(); next !== undefined && found < MOST; next = left.pop()) {
        const { ino, uid, children } = look(next.folder, next.names.length === 0)
        if (ino === 0n) continue
        found++
        owner ??= uid
        made(ino ^ (number << HIERARCHY_SHIFT), next.names)
        const [own, ...above] = next.names
        const long = own !== undefined && own.length >= NAME_SHORTEST ? [own, ...above] : above
        const named = uid === owner ? children : []
        for (const name of named) left.push({ folder: join(next.folder, name), names: [name, ...long] })
        if (turns.over) await turns.rest()
      }
    }
    return undefined
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return `cannot read the cgroups of this host, so pods cannot be distinguished: ${why}`
  }
}

export interface FoundCgroup {
  readonly id: bigint
  /** Names as `made` gets them. */
  readonly names: readonly string[]
}

/** The cgroup at a path below the host's root, in each hierarchy that has it; empty if there is none. */
export function cgroupsAt(procfs: string, path: string): FoundCgroup[] {
  const parts = path.split('/').filter((part) => part !== '')
  if (parts.length === 0 || parts.includes('..')) return []
  const [own = '', ...above] = parts.toReversed()
  const names = [own, ...above.filter((name) => name.length >= NAME_SHORTEST)]
  try {
    return hierarchies(procfs).flatMap(({ number, folder }) => {
      const found = statSync(join(folder, ...parts), { bigint: true, throwIfNoEntry: false })
      return found === undefined ? [] : [{ id: found.ino ^ (number << HIERARCHY_SHIFT), names }]
    })
  } catch {
    return []
  }
}

/** A folder that is removed meanwhile has no ino; the root must be there. */
function look(folder: string, isRoot: boolean) {
  try {
    const { ino, uid } = statSync(folder, { bigint: true })
    const children = readdirSync(folder, { withFileTypes: true })
    return { ino, uid, children: children.filter((child) => child.isDirectory()).map(({ name }) => name) }
  } catch (error) {
    if (isRoot) throw error
    return { ino: 0n, uid: 0n, children: [] }
  }
}

/** The mounted hierarchies: elsewhere no process can be placed. */
function hierarchies(procfs: string): Hierarchy[] {
  const mounts = readFileSync(join(procfs, '1/mounts'), 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup' || type === 'cgroup2')
    .map(([, folder = '', type, options = '']) => ({ folder, type, options: options.split(',') }))
  const found: Hierarchy[] = []
  for (const line of readFileSync(join(procfs, '1/cgroup'), 'utf8').split('\n')) {
    const [, number = '', controllers = ''] = /^(\d+):([^:]*):/.exec(line) ?? []
    const placing = controllers.split(',').find((each) => PLACING.includes(each))
    const mount = mounts.find(({ type, options }) =>
      number === '0' ? type === 'cgroup2' : type === 'cgroup' && placing !== undefined && options.includes(placing),
    )
    if (mount !== undefined) found.push({ number: BigInt(number), folder: join(procfs, '1/root', mount.folder) })
  }
  if (found.length === 0) throw new Error('no cgroup file system is mounted')
  return found
}
