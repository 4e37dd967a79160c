/**
 * The start-up scan of /proc (docs/reference/records/process.md): every running process, parents before children.
 * It runs after the process hooks are attached, so no process is missed; a process that the hooks have reported keeps that entry.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { posix } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { cachedStat } from '../../native/index.ts'
import { innerPid, parseStat, statusWords } from '../host/proc-stat.ts'
import { readOr } from '../host/read.ts'
import { cgroupPath } from './cgroup-names.ts'
import { PROCESS_FLAGS } from '../wire/flags.ts'
import { ProcessFiles } from './detail/process-files.ts'
import { decodeText, readArguments } from '../wire/text.ts'

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

const tryRead = <T>(read: () => T): T | undefined => {
  try {
    return read()
  } catch {
    return undefined
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
  const stat = readOr(at('stat'))
  const status = readOr(at('status'))
  const parsed = stat === undefined ? undefined : parseStat(stat)
  if (stat === undefined || status === undefined || parsed === undefined) return undefined
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
  const exe = tryRead(() => readlinkSync(at('exe')))
  // A name may end like that too: the link count decides.
  const unlinked = exe?.endsWith(' (deleted)') ? cachedStat(at('exe')) : undefined
  const cwd = tryRead(() => readlinkSync(at('cwd')))
  const cgroups = readOr(at('cgroup')) ?? ''
  const auid = readOr(at('loginuid'))
  const uid = parsed.kernelThread ? 0 : Number(statusWords(status, 'Uid')[1] ?? 0)
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
    nspid: innerPid(status),
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
  const pids = new Set(processes.map(({ pid }) => pid))
  const children = Map.groupBy(processes, ({ parentPid }) => (pids.has(parentPid) ? parentPid : 0))
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
