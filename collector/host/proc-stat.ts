/** Start times from /proc/PID/stat, and lines of /proc/PID/status. */
import { readFileSync } from 'node:fs'
import { errnoOf } from '../../config/base/unreadable.ts'

/** USER_HZ, the unit of start times in /proc/PID/stat: 100 on every Linux that Node runs on. */
const NS_PER_TICK = 10_000_000n

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

export type Started = bigint | 'gone' | 'unknown'

/** Start time (boot clock) of the process that has this pid now; 'gone' also for a zombie. */
export const startedAt = (procfs: string, pid: number): Started => startIn(`${procfs}/${pid}/stat`, 'gone')

/** 'unknown' if /proc cannot be read, for instance without a free descriptor. `zombie`: the result for a zombie. */
export function startIn(stat: string, zombie: 'gone' | 'unknown'): Started {
  try {
    return parseStat(readFileSync(stat, 'utf8'))?.startNs ?? zombie
  } catch (error) {
    return ['ENOENT', 'ESRCH'].includes(errnoOf(error)) ? 'gone' : 'unknown'
  }
}

/** The words of a line of /proc/PID/status, such as `Uid`; none without that line. */
export const statusWords = (status: string, line: string): string[] =>
  new RegExp(`^${line}:\\s*(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/) ?? []

/** The pid of a process in its own pid namespace; 0 if that is the host's. */
export function innerPid(status: string): number {
  const pids = statusWords(status, 'NSpid')
  return pids.length > 1 ? Number(pids.at(-1)) : 0
}
