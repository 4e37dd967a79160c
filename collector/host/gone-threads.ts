/** Finds calls that will never return, because the thread that made them is gone. */
import { startIn } from './proc-stat.ts'
import type { Started } from './proc-stat.ts'

export type ThreadStart = (tgid: number, tid: number) => Started

/** Younger calls are not checked: nearly all of them return. */
const YOUNG_NS = 2_000_000_000n
/** Thread lookups at once, each about 20 µs of system calls: the event loop has a budget of 10 ms. */
const LOOKUPS_MAX = 256
/** /proc rounds start times down to ticks of 10 ms (USER_HZ); an older call belongs to another thread. */
const TICK_NS = 10_000_000n

/** Reads `<procfs>/<tgid>/task/<tid>/stat`. */
export const threadStarts =
  (procfs: string): ThreadStart =>
  (tgid, tid) =>
    startIn(`${procfs}/${tgid}/task/${tid}/stat`, 'unknown')

export interface ThreadCall {
  readonly tgid: number
  readonly tid: number
  /** When it was entered, on the clock of `nowNs`. */
  readonly sec: number
  readonly nsec: number
}

const enteredNs = ({ sec, nsec }: ThreadCall): bigint => BigInt(sec) * 1_000_000_000n + BigInt(nsec)

/** Continues where it stopped the last time, so that many calls take several times. */
export class GoneThreads {
  readonly #threadStart: ThreadStart
  readonly #agentPid: number
  #turn = 0

  /** `agentPid`: as the host sees it. With no /proc, or that of another pid namespace, every thread would seem to be gone. */
  constructor(threadStart: ThreadStart, agentPid: number) {
    this.#threadStart = threadStart
    this.#agentPid = agentPid
  }

  /** The calls whose thread is gone. */
  among<Call extends ThreadCall>(calls: readonly Call[], nowNs: bigint): Call[] {
    const old = calls.filter((call) => nowNs - enteredNs(call) > YOUNG_NS)
    if (old.length === 0 || typeof this.#threadStart(this.#agentPid, this.#agentPid) !== 'bigint') return []
    const known = new Map<number, Started>()
    const from = old.length > LOOKUPS_MAX ? this.#turn++ * LOOKUPS_MAX : 0
    const gone: Call[] = []
    for (let i = 0; i < old.length; i++) {
      const call = old[(from + i) % old.length]
      if (call === undefined) continue
      const start = known.get(call.tid) ?? this.#look(call, known)
      if (start === undefined) break
      // The tid belongs to a later thread, because the calling thread has ended.
      const another = typeof start === 'bigint' && start > enteredNs(call) + TICK_NS
      if (start === 'gone' || another) gone.push(call)
    }
    return gone
  }

  /** undefined when all lookups are used up. */
  #look({ tgid, tid }: ThreadCall, known: Map<number, Started>): Started | undefined {
    if (known.size >= LOOKUPS_MAX) return undefined
    // The idle tasks have tid 0 and are not in /proc.
    const start = tgid === 0 ? 'unknown' : this.#threadStart(tgid, tid)
    known.set(tid, start)
    return start
  }
}
