/**
 * Sweeps the join map. It contains matched calls that wait for their return and for which the table of pending calls is not enough
 * (bpf/call/waiting.h). Some returns never come: the return probe had no instance left (kretprobe.multi under load), or the function never
 * returns (exit). The next call at the same depth of the same stack replaces such an entry and reports that in the ring. A thread that has
 * ended makes no next call: the sweep removes its entries.
 *
 * An entry is removed exactly once: by the return (`call_returns` of bpf/call/returns.h), the next entry, the sweep or the detaching. Each reports the
 * end of the call, so every hit is an event exactly once. Only programs remove calls from the table. User space finds calls of the table
 * that never return by their events (collector/ingest/returns.ts).
 */
import type { BpfMap } from '../../native/types.ts'
import type { CallEnd, PendingCall } from '../wire/decode.ts'
import { u32, u64 } from '../wire/bytes.ts'
import type { GoneThreads, ThreadCall } from '../host/gone-threads.ts'
import { entriesOf } from '../plan/map-entries.ts'
import { attempt } from './watched/attempt.ts'
import type { Entry } from '../plan/map-entries.ts'
import { JOIN_KEY, JOIN_MISSED, JOIN_RETURNED, JOIN_UNREAD, JOIN_VALUE, PENDING } from '../wire/wire.ts'

const ONLY = u32(0)
/** Map entries per system call. */
const ENTRIES_AT_ONCE = 4096

/** Size of its map if no call waits. */
export const NO_JOINS = { join: 1 }

/** By name in bpf/call/waiting.h: `.data.kept` and `.data.swept` show programs when no call is in `join`, `.data.pending` is the table. */
const MAPS = ['join', '.data.kept', '.data.swept', '.data.pending'] as const
export type JoinMaps = Readonly<Record<(typeof MAPS)[number], BpfMap>>

/** Sweeps the join map. */
export class JoinSweep {
  readonly maps: JoinMaps
  readonly #gone: GoneThreads
  #ends: CallEnd[] = []
  /** Removed calls without records: the return should have judged them. */
  lost = 0
  #removed = 0
  /** Returns that came from the map, because the ring refused their records, so far. */
  fromMap = 0

  constructor(map: (name: string) => BpfMap, gone: GoneThreads) {
    this.maps = Object.fromEntries(MAPS.map((name) => [name, map(name)])) as JoinMaps
    this.#gone = gone
  }

  /** Removes entries of ended threads, and entries whose end the ring refused. */
  sweep(nowNs: bigint): void {
    const calls: Array<ThreadCall & { readonly entry: Entry }> = []
    for (const entry of this.#entries()) {
      if (isEnded(entry)) this.fromMap += this.#remove(entry) ? 1 : 0
      else calls.push({ tgid: tgidOf(entry), ...endOf(entry), entry })
    }
    for (const { entry } of this.#gone.among(calls, nowNs)) this.#remove(entry)
  }

  /** Removes the entries of a detached function, whose returns no program will see. */
  forget(hook: number): void {
    for (const entry of this.#entries()) if (entry[0].readUInt32LE(JOIN_KEY.hook) === hook) this.#remove(entry)
  }

  /** False if the entry was missing, or if another process has frozen the map. */
  #remove(entry: Entry): boolean {
    const [key, value] = entry
    if (!attempt(() => this.maps.join.delete(key))) return false
    this.#removed++
    this.maps['.data.swept'].update(ONLY, u64(this.#removed))
    if (value.readUInt32LE(JOIN_VALUE.state) === JOIN_UNREAD) this.lost++
    else this.#ends.push(endOf(entry))
    return true
  }

  /** Calls in the table and in the map, as `callKey` has them. In this order, because a call may move from the table to the map meanwhile. */
  calls(): Set<string> {
    const calls = new Set<string>()
    const table = this.maps['.data.pending'].lookup(ONLY) ?? Buffer.alloc(0)
    for (let at = 0; at < table.length; at += PENDING.bytes) {
      // The upper half of a number is part of an address. It is 0 if the place is free: most are.
      if (table.readUInt32LE(at + PENDING.call + 4) === 0) continue
      const number = table.readBigUInt64LE(at + PENDING.call)
      calls.add(callKey(callOf(number, table, at + PENDING.entered)))
    }
    for (const entry of this.#entries()) calls.add(callKey(endOf(entry)))
    return calls
  }

  /** Ends of removed calls since the last time; their records were in the ring before. */
  takeEnds(): CallEnd[] {
    return this.#ends.splice(0)
  }

  close(): void {
    for (const map of Object.values(this.maps)) map.close()
  }

  #entries(): Entry[] {
    return [...entriesOf(this.maps.join, ENTRIES_AT_ONCE)]
  }
}

export const callKey = ({ sec, nsec, callLo, callHi }: Omit<PendingCall, 'tid'>): string =>
  `${callHi}:${callLo} ${sec}.${nsec}`

const tgidOf = ([key]: Entry): number => key.readUInt32LE(JOIN_KEY.thread + 4)

/** Whether the ring refused the record of the call's end. */
function isEnded([, value]: Entry): boolean {
  const state = value.readUInt32LE(JOIN_VALUE.state)
  return state === JOIN_RETURNED || state === JOIN_MISSED
}

/** `number`: `call_number` of bpf/call/waiting.h; at `at`: `header_time` of bpf/base/record.h. */
const callOf = (number: bigint, from: Buffer, at: number): Omit<PendingCall, 'tid'> => ({
  sec: from.readUInt32LE(at),
  nsec: from.readUInt32LE(at + 4),
  callLo: Number(number & 0xffff_ffffn),
  callHi: Number((number >> 32n) & 0xffff_ffffn),
})

function endOf(entry: Entry): CallEnd {
  const [key, value] = entry
  const number = (key.readBigUInt64LE(JOIN_KEY.sp) << 16n) | BigInt(key.readUInt16LE(JOIN_KEY.hook))
  return {
    tid: key.readUInt32LE(JOIN_KEY.thread),
    ...callOf(number, value, JOIN_VALUE.entered),
    returned:
      value.readUInt32LE(JOIN_VALUE.state) === JOIN_RETURNED
        ? { lo: value.readUInt32LE(JOIN_VALUE.returned), hi: value.readUInt32LE(JOIN_VALUE.returned + 4) }
        : undefined,
  }
}
