/** Cost of a process while nothing happens: the number of runs of its threads, and their duration. */
import { readFileSync, readdirSync } from 'node:fs'

export interface ThreadUse {
  readonly name: string
  /** Times that it went to sleep or was displaced: each begins with a wakeup. */
  readonly switches: number
  readonly cpuMs: number
}

/** Use of each thread so far, by thread id. */
export function threadUse(pid: number): ReadonlyMap<string, ThreadUse> {
  const uses = new Map<string, ThreadUse>()
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8')
    const switches = [...status.matchAll(/^(?:non)?voluntary_ctxt_switches:\s+([0-9]+)$/gm)]
    // include/linux/sched.h struct sched_info: the first number is the time on a CPU, in nanoseconds.
    const [ns] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')
    uses.set(tid, {
      name: readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim(),
      switches: switches.reduce((sum, [, n]) => sum + Number(n), 0),
      cpuMs: Number(ns) / 1e6,
    })
  }
  return uses
}

/** Use of each thread between the two, the busiest first. */
export function usedBetween(
  before: ReadonlyMap<string, ThreadUse>,
  after: ReadonlyMap<string, ThreadUse>,
): ThreadUse[] {
  return [...after]
    .map(([tid, { name, switches, cpuMs }]) => {
      const old = before.get(tid)
      return { name: `${name} ${tid}`, switches: switches - (old?.switches ?? 0), cpuMs: cpuMs - (old?.cpuMs ?? 0) }
    })
    .filter(({ switches, cpuMs }) => switches > 0 || cpuMs > 0)
    .toSorted((a, b) => b.switches - a.switches || b.cpuMs - a.cpuMs)
}
