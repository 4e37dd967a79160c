/**
 * Sweeps the join map. It contains matched calls that wait for their return. Some returns never come: the return probe had no instance left
 * (kretprobe.multi under load), or the function never returns (exit). The next call at the same depth of the same stack replaces such an entry
 * and counts it. A thread that has ended makes no next call: the sweep removes its entries, which would occupy the map uncounted.
 *
 * An entry is removed exactly once: by the return (bpf/hook.bpf.c `leave`), the next entry, the sweep or the detaching. Each delivers or counts
 * it, so hits = events + losses holds exactly.
 */
import { readFileSync } from 'node:fs'
import { errnoOf } from '../../config/yaml/unreadable.ts'
import type { BpfMap } from '../../native/types.ts'
import { parseStat } from '../process/procfs.ts'
import { JOIN_KEY, JOIN_VALUE } from './wire.ts'

/** Start time of a thread (boot time), 'gone', or 'unknown' when /proc cannot be read. */
export type ThreadStart = (tgid: number, tid: number) => bigint | 'gone' | 'unknown'

/** Younger entries are not checked: nearly all of them are removed by their return. */
const YOUNG_NS = 2_000_000_000n
/** Thread lookups per sweep, each about 20 µs of system calls: the event loop has a budget of 10 ms. */
const LOOKUPS_MAX = 256
/** Map entries per system call. */
const ENTRIES_AT_ONCE = 4096
/** /proc rounds start times down to ticks of 10 ms (USER_HZ); an older entry belongs to another thread. */
const TICK_NS = 10_000_000n

/** Reads `<procfs>/<tgid>/task/<tid>/stat`. */
export function threadStarts(procfs: string): ThreadStart {
  return (tgid, tid) => {
    try {
      return parseStat(readFileSync(`${procfs}/${tgid}/task/${tid}/stat`, 'utf8'))?.startNs ?? 'unknown'
    } catch (error) {
      return ['ENOENT', 'ESRCH'].includes(errnoOf(error)) ? 'gone' : 'unknown'
    }
  }
}

/** Sweeps the join map; continues where the last sweep stopped, so that a full map takes several. */
export class JoinSweep {
  readonly #map: BpfMap
  readonly #threadStart: ThreadStart
  #turn = 0

  constructor(map: BpfMap, threadStart: ThreadStart) {
    this.#map = map
    this.#threadStart = threadStart
  }

  /** Removes entries of threads that are gone; returns their number, which the caller counts as missed returns. */
  sweep(nowNs: bigint): number {
    const old = this.#entries().filter(([, value]) => nowNs - value.readBigUInt64LE(JOIN_VALUE.enteredNs) > YOUNG_NS)
    const known = new Map<bigint, ReturnType<ThreadStart>>()
    let taken = 0
    const from = old.length > LOOKUPS_MAX ? this.#turn++ * LOOKUPS_MAX : 0
    for (let i = 0; i < old.length; i++) {
      const [key, value] = old[(from + i) % old.length] ?? []
      if (key === undefined || value === undefined) continue
      const thread = key.readBigUInt64LE(JOIN_KEY.thread)
      const start = known.get(thread) ?? this.#look(thread, known)
      if (start === undefined) break
      // The tid belongs to a later thread: the one that entered is gone.
      const another = typeof start === 'bigint' && start > value.readBigUInt64LE(JOIN_VALUE.enteredNs) + TICK_NS
      if ((start === 'gone' || another) && this.#map.delete(key)) taken++
    }
    return taken
  }

  /** undefined when this sweep has used up its lookups. */
  #look(thread: bigint, known: Map<bigint, ReturnType<ThreadStart>>): ReturnType<ThreadStart> | undefined {
    if (known.size >= LOOKUPS_MAX) return undefined
    const tgid = Number(thread >> 32n)
    // The idle tasks have tid 0 and are not in /proc.
    const start = tgid === 0 ? 'unknown' : this.#threadStart(tgid, Number(thread & 0xffff_ffffn))
    known.set(thread, start)
    return start
  }

  /** Removes the entries of a detached function, whose returns nobody will see; returns their number. */
  forget(hook: number): number {
    return this.#entries().filter(([key]) => key.readUInt32LE(JOIN_KEY.hook) === hook && this.#map.delete(key)).length
  }

  /** Number of entries in the map. */
  waiting(): number {
    return this.#entries().length
  }

  #entries(): Array<readonly [key: Buffer, value: Buffer]> {
    const { keySize, valueSize } = this.#map.info
    const found: Array<readonly [key: Buffer, value: Buffer]> = []
    let from: Buffer | undefined
    do {
      const { keys, values, count, next } = this.#map.part(ENTRIES_AT_ONCE, from)
      for (let i = 0; i < count; i++) {
        const key = keys.subarray(i * keySize, (i + 1) * keySize)
        found.push([key, values.subarray(i * valueSize, (i + 1) * valueSize)])
      }
      from = next
    } while (from !== undefined)
    return found
  }
}
