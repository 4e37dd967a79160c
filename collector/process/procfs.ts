/**
 * The start-up scan of /proc (docs/reference/records.md): every running process, parents before children.
 * It runs after the process hooks are attached, so no process is missed; a process that the hooks have reported keeps that entry.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { posix } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { errnoOf } from '../../config/yaml/unreadable.ts'
import { cachedStat } from '../../native/index.ts'
import { cgroupPath } from '../identity/cgroup-names.ts'
import { PROCESS_FLAGS } from './flags.ts'
import { ProcessFiles } from './detail/process-files.ts'
import { decodeText, readArguments } from './text.ts'

/** USER_HZ, the unit of start times in /proc/PID/stat: 100 on every Linux that Node runs on. */
const NS_PER_TICK = 10_000_000n
/** Processes read per turn of the event loop. */
const SLICE = 50

/** A process as read from /proc. */
export interface ScannedProcess {
  readonly pid: number
  readonly parentPid: number
  readonly startNs: bigint
  readonly uid: number
  readonly auid: number
  readonly nspid: number
  readonly flags: number
  readonly binary: string
  readonly unlinkedInode?: bigint | undefined
  readonly arguments: string
  readonly argv: string
  readonly cwd: string
  readonly cgroup: string
  readonly kernelThread: boolean
}

/**
 * Start time (boot clock) and parent from /proc/PID/stat; the process name may contain spaces and parentheses. undefined also for a zombie
 * without living threads: it has ended already, and no more records of it will come.
 */
export function parseStat(stat: string): { parentPid: number; startNs: bigint; kernelThread: boolean } | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, parent, , , , , flags] = fields
  const ticks = fields[19]
  if (state === 'X' || (state === 'Z' && Number(fields[17]) <= 1)) return undefined
  if (parent === undefined || ticks === undefined || flags === undefined || !/^\d+$/.test(ticks)) return undefined
  return {
    parentPid: Number(parent),
    startNs: BigInt(ticks) * NS_PER_TICK,
    kernelThread: (Number(flags) & 0x0020_0000) !== 0, // PF_KTHREAD
  }
}

const field = (status: string, name: string): string[] =>
  new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/) ?? []

const tryRead = <T>(read: () => T): T | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}

/**
 * Start time (boot clock) of the process that has this pid now; 'gone' also for a zombie, 'unknown' when /proc cannot be read, for instance
 * because no descriptor is left.
 */
export function startedAt(procfs: string, pid: number): bigint | 'gone' | 'unknown' {
  try {
    return parseStat(readFileSync(`${procfs}/${pid}/stat`, 'utf8'))?.startNs ?? 'gone'
  } catch (error) {
    return ['ENOENT', 'ESRCH'].includes(errnoOf(error)) ? 'gone' : 'unknown'
  }
}

/** Limit of the arguments, which may have megabytes; as in bpf/process.bpf.c. */
const ARGV_BYTES = 16_384
const NOTHING = Buffer.alloc(0)

/** undefined: the process has ended meanwhile. */
export async function readProcess(
  procfs: string,
  pid: number,
  files: ProcessFiles = new ProcessFiles(procfs),
): Promise<ScannedProcess | undefined> {
  const at = (name: string): string => posix.join(procfs, String(pid), name)
  const stat = tryRead(() => readFileSync(at('stat'), 'utf8'))
  const status = tryRead(() => readFileSync(at('status'), 'utf8'))
  const parsed = stat === undefined ? undefined : parseStat(stat)
  if (stat === undefined || status === undefined || parsed === undefined) return undefined
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
  const exe = tryRead(() => readlinkSync(at('exe')))
  // A name may end like that too: the link count decides.
  const unlinked = exe?.endsWith(' (deleted)') ? cachedStat(at('exe')) : undefined
  const cwd = tryRead(() => readlinkSync(at('cwd')))
  const cgroups = tryRead(() => readFileSync(at('cgroup'), 'utf8')) ?? ''
  const auid = tryRead(() => readFileSync(at('loginuid'), 'utf8'))
  const inner = field(status, 'NSpid')
  const uid = parsed.kernelThread ? 0 : Number(field(status, 'Uid')[1] ?? 0)
  const read = parsed.kernelThread ? NOTHING : await files.read(pid, uid, 'cmdline', ARGV_BYTES).catch(() => NOTHING)
  const argv = read ?? NOTHING
  let flags: number = PROCESS_FLAGS.procFS
  if (read === undefined) flags |= PROCESS_FLAGS.errorArgs
  if (cwd === '/') flags |= PROCESS_FLAGS.rootcwd
  if (argv.length > ARGV_BYTES) flags |= PROCESS_FLAGS.truncArgs
  if (cwd === undefined) flags |= PROCESS_FLAGS.rootcwd | PROCESS_FLAGS.errorCWD
  return {
    pid,
    parentPid: parsed.parentPid,
    startNs: parsed.startNs,
    uid,
    auid: Number(auid ?? 4294967295),
    nspid: inner.length > 1 ? Number(inner.at(-1)) : 0,
    flags,
    binary: parsed.kernelThread ? `[${name}]` : decodeText(Buffer.from(exe ?? name)).text,
    unlinkedInode: unlinked?.links === 0 ? unlinked.ino : undefined,
    ...readArguments(argv.subarray(0, ARGV_BYTES)),
    cwd: cwd ?? '/',
    cgroup: cgroupPath(cgroups),
    kernelThread: parsed.kernelThread,
  }
}

/** All processes, parents first. Yields to the event loop about every 10 ms. */
export async function scanProcfs(
  procfs: string,
  files: ProcessFiles = new ProcessFiles(procfs),
): Promise<ScannedProcess[]> {
  const found: ScannedProcess[] = []
  let read = 0
  for (const entry of readdirSync(procfs)) {
    if (!/^\d+$/.test(entry)) continue
    const process = await readProcess(procfs, Number(entry), files)
    if (process !== undefined) found.push(process)
    if (++read % SLICE === 0) await setImmediate()
  }
  return inParentOrder(found)
}

/** Sorted by parent pid, but parents always before children (pids wrap around). */
function inParentOrder(processes: ScannedProcess[]): ScannedProcess[] {
  const children = new Map<number, ScannedProcess[]>()
  const pids = new Set(processes.map((process) => process.pid))
  for (const process of processes) {
    const parent = pids.has(process.parentPid) ? process.parentPid : 0
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [process])
    else siblings.push(process)
  }
  const ordered: ScannedProcess[] = []
  const parents = [0]
  for (let parent = parents.shift(); parent !== undefined; parent = parents.shift()) {
    const next = (children.get(parent) ?? []).toSorted((a, b) => a.pid - b.pid)
    ordered.push(...next)
    parents.push(...next.map((process) => process.pid))
    children.delete(parent)
  }
  // The rest has no root: pids reused during the scan can form a cycle of parents.
  return [...ordered, ...[...children.values()].flat().toSorted((a, b) => a.pid - b.pid)]
}
