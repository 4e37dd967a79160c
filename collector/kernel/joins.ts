/**
 * Sweeps the join map. It contains matched calls that wait for their return. Some returns never come: the return probe had no instance left
 * (kretprobe.multi under load), or the function never returns (exit). The next call at the same depth of the same stack replaces such an entry
 * and says so in the ring. A thread that has ended makes no next call: the sweep removes its entries.
 *
 * An entry is removed exactly once: by the return (bpf/hook.bpf.c `leave`), the next entry, the sweep or the detaching. Each says how the call
 * ended, so every hit is an event exactly once.
 */
import { readFileSync } from 'node:fs'
import { errnoOf } from '../../config/yaml/unreadable.ts'
import type { BpfMap } from '../../native/types.ts'
import type { CallEnd } from '../ingest/decode.ts'
import { parseStat } from '../process/procfs.ts'
import { u32, u64 } from './bytes.ts'
import { JOIN_KEY, JOIN_MISSED, JOIN_RETURNED, JOIN_SWEPT, JOIN_UNREAD, JOIN_VALUE } from './wire.ts'

/** Start time of a thread (boot time), 'gone', or 'unknown' when /proc cannot be read. */
export type ThreadStart = (tgid: number, tid: number) => bigint | 'gone' | 'unknown'

/** Younger entries are not checked: nearly all of them are removed by their return. */
const YOUNG_NS = 2_000_000_000n
/** Thread lookups per sweep, each about 20 µs of system calls: the event loop has a budget of 10 ms. */
const LOOKUPS_MAX = 256
const NSEC = 1_000_000_000n
/** Map entries per system call. */
const ENTRIES_AT_ONCE = 4096
/** /proc rounds start times down to ticks of 10 ms (USER_HZ); an older entry belongs to another thread. */
const TICK_NS = 10_000_000n

type Entry = readonly [key: Buffer, value: Buffer]

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
  /** By their names in bpf/call/join.h; `join_counts` tells programs when no call waits. */
  readonly maps: { readonly join: BpfMap; readonly join_counts: BpfMap }
  readonly #threadStart: ThreadStart
  #turn = 0
  #ends: CallEnd[] = []
  #lost = 0
  #removed = 0
  #told = 0

  constructor(join: BpfMap, counts: BpfMap, threadStart: ThreadStart) {
    this.maps = { join, join_counts: counts }
    this.#threadStart = threadStart
  }

  /** Removes entries of threads that are gone, and those whose end the ring refused. */
  sweep(nowNs: bigint): void {
    const old: Entry[] = []
    for (const entry of this.#entries()) {
      if (isEnded(entry)) this.#told += this.#remove(entry) ? 1 : 0
      else if (nowNs - enteredNs(entry) > YOUNG_NS) old.push(entry)
    }
    const known = new Map<bigint, ReturnType<ThreadStart>>()
    const from = old.length > LOOKUPS_MAX ? this.#turn++ * LOOKUPS_MAX : 0
    for (let i = 0; i < old.length; i++) {
      const entry = old[(from + i) % old.length]
      if (entry === undefined) continue
      const thread = entry[0].readBigUInt64LE(JOIN_KEY.thread)
      const start = known.get(thread) ?? this.#look(thread, known)
      if (start === undefined) break
      // The tid belongs to a later thread: the one that entered is gone.
      const another = typeof start === 'bigint' && start > enteredNs(entry) + TICK_NS
      if (start === 'gone' || another) this.#remove(entry)
    }
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

  /** Removes the entries of a detached function, whose returns nobody will see. */
  forget(hook: number): void {
    for (const entry of this.#entries()) if (entry[0].readUInt32LE(JOIN_KEY.hook) === hook) this.#remove(entry)
  }

  /** False when another was first. */
  #remove(entry: Entry): boolean {
    const [key, value] = entry
    if (!this.maps.join.delete(key)) return false
    this.#removed++
    this.maps.join_counts.update(u32(JOIN_SWEPT), u64(this.#removed))
    if (value.readUInt32LE(JOIN_VALUE.state) === JOIN_UNREAD) this.#lost++
    else this.#ends.push(endOf(entry))
    return true
  }

  /** Entries whose end the ring refused, so far. */
  get told(): number {
    return this.#told
  }

  /** Calls in the map, by thread. */
  calls(): Map<number, CallEnd[]> {
    const calls = new Map<number, CallEnd[]>()
    for (const call of this.#entries().map(endOf)) {
      const others = calls.get(call.tid)
      if (others === undefined) calls.set(call.tid, [call])
      else others.push(call)
    }
    return calls
  }

  /** How removed calls ended, since the last time; their records were in the ring before. */
  takeEnds(): CallEnd[] {
    return this.#ends.splice(0)
  }

  /** Removed calls that have no records: they were to be judged at the return. */
  get lost(): number {
    return this.#lost
  }

  /** Number of entries in the map. */
  waiting(): number {
    return this.#entries().length
  }

  close(): void {
    this.maps.join.close()
    this.maps.join_counts.close()
  }

  #entries(): Entry[] {
    const { keySize, valueSize } = this.maps.join.info
    const found: Entry[] = []
    let from: Buffer | undefined
    do {
      const { keys, values, count, next } = this.maps.join.part(ENTRIES_AT_ONCE, from)
      for (let i = 0; i < count; i++) {
        const key = keys.subarray(i * keySize, (i + 1) * keySize)
        found.push([key, values.subarray(i * valueSize, (i + 1) * valueSize)])
      }
      from = next
    } while (from !== undefined)
    return found
  }
}

const enteredNs = ([, value]: Entry): bigint => value.readBigUInt64LE(JOIN_VALUE.enteredNs)

/** The ring refused to say how the call ended. */
function isEnded([, value]: Entry): boolean {
  const state = value.readUInt32LE(JOIN_VALUE.state)
  return state === JOIN_RETURNED || state === JOIN_MISSED
}

function endOf(entry: Entry): CallEnd {
  const [key, value] = entry
  const entered = enteredNs(entry)
  // `call_number` of bpf/call/join.h.
  const call = (key.readBigUInt64LE(JOIN_KEY.sp) << 16n) | BigInt(key.readUInt16LE(JOIN_KEY.hook))
  return {
    tid: key.readUInt32LE(JOIN_KEY.thread),
    sec: Number(entered / NSEC),
    nsec: Number(entered % NSEC),
    callLo: Number(call & 0xffff_ffffn),
    callHi: Number((call >> 32n) & 0xffff_ffffn),
    returned:
      value.readUInt32LE(JOIN_VALUE.state) === JOIN_RETURNED
        ? { lo: value.readUInt32LE(JOIN_VALUE.returned), hi: value.readUInt32LE(JOIN_VALUE.returned + 4) }
        : undefined,
  }
}
