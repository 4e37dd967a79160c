/**
 * Sweeps the join map. It contains matched calls that wait for their return. Some returns never come: the return probe had no instance left
 * (kretprobe.multi under load), or the function never returns (exit). The next call at the same depth of the same stack replaces such an entry
 * and says so in the ring. A thread that has ended makes no next call: the sweep removes its entries.
 *
 * An entry is removed exactly once: by the return (bpf/hook.bpf.c `leave`), the next entry, the sweep or the detaching. Each says how the call
 * ended, so every hit is an event exactly once.
 */
import type { BpfMap } from '../../native/types.ts'
import type { CallEnd } from '../ingest/decode.ts'
import { u32, u64 } from './bytes.ts'
import type { GoneThreads, ThreadCall } from '../process/gone-threads.ts'
import { JOIN_KEY, JOIN_MISSED, JOIN_RETURNED, JOIN_SWEPT, JOIN_UNREAD, JOIN_VALUE } from './wire.ts'

const NSEC = 1_000_000_000n
/** Map entries per system call. */
const ENTRIES_AT_ONCE = 4096
type Entry = readonly [key: Buffer, value: Buffer]

/** Sweeps the join map. */
export class JoinSweep {
  /** By their names in bpf/call/join.h; `join_counts` tells programs when no call waits. */
  readonly maps: { readonly join: BpfMap; readonly join_counts: BpfMap }
  readonly #gone: GoneThreads
  #ends: CallEnd[] = []
  #lost = 0
  #removed = 0
  #told = 0

  constructor(join: BpfMap, counts: BpfMap, gone: GoneThreads) {
    this.maps = { join, join_counts: counts }
    this.#gone = gone
  }

  /** Removes entries of threads that are gone, and those whose end the ring refused. */
  sweep(nowNs: bigint): void {
    const calls: Array<ThreadCall & { readonly entry: Entry }> = []
    for (const entry of this.#entries()) {
      if (isEnded(entry)) this.#told += this.#remove(entry) ? 1 : 0
      else calls.push({ tgid: tgidOf(entry), tid: tidOf(entry), enteredNs: enteredNs(entry), entry })
    }
    for (const { entry } of this.#gone.among(calls, nowNs)) this.#remove(entry)
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

const tidOf = ([key]: Entry): number => key.readUInt32LE(JOIN_KEY.thread)
const tgidOf = ([key]: Entry): number => key.readUInt32LE(JOIN_KEY.thread + 4)
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
    tid: tidOf(entry),
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
