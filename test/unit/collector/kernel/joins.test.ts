import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GoneThreads, threadStarts } from '../../../../collector/host/gone-threads.ts'
import type { ThreadStart } from '../../../../collector/host/gone-threads.ts'
import { JoinSweep, callKey } from '../../../../collector/kernel/joins.ts'
import type { JoinMaps } from '../../../../collector/kernel/joins.ts'
import {
  JOIN_KEY,
  JOIN_MISSED,
  JOIN_RETURNED,
  JOIN_UNREAD,
  JOIN_VALUE,
  PENDING,
} from '../../../../collector/wire/wire.ts'
import { NativeError } from '../../../../native/index.ts'
import type { BpfMap } from '../../../../native/types.ts'

const SECOND = 1_000_000_000n
const NOW = 100n * SECOND
const AGENT = 4_000_000

function keyOf(tgid: number, tid: number, sp = 0n): Buffer {
  const key = Buffer.alloc(JOIN_KEY.bytes)
  key.writeBigUInt64LE((BigInt(tgid) << 32n) | BigInt(tid), JOIN_KEY.thread)
  key.writeBigUInt64LE(sp, JOIN_KEY.sp)
  return key
}

/** The agent's own threads are always there. */
const threads = (start: ThreadStart): GoneThreads =>
  new GoneThreads((tgid, tid) => (tgid === AGENT ? 1n : start(tgid, tid)), AGENT)

const unused = (): never => assert.fail('the sweep only lists and deletes')

/** As `header_time` of bpf/base/record.h. */
function writeTime(to: Buffer, at: number, ns: bigint): void {
  to.writeUInt32LE(Number(ns / SECOND), at)
  to.writeUInt32LE(Number(ns % SECOND), at + 4)
}

/** The maps in memory: entries of `join`, places of `pending`. */
function joinMap(
  entries: ReadonlyArray<{ key: Buffer; enteredNs: bigint; state?: number; returned?: bigint }>,
  places: ReadonlyArray<readonly [call: bigint, enteredNs: bigint]> = [],
): { readonly map: (name: string) => BpfMap; readonly held: Map<string, Buffer>; swept: () => bigint } {
  const held = new Map(
    entries.map(({ key, enteredNs, state = 0, returned = 0n }) => {
      const value = Buffer.alloc(JOIN_VALUE.bytes)
      writeTime(value, JOIN_VALUE.entered, enteredNs)
      value.writeBigUInt64LE(returned, JOIN_VALUE.returned)
      value.writeUInt32LE(state, JOIN_VALUE.state)
      return [key.toString('hex'), value]
    }),
  )
  let swept = 0n
  const map: BpfMap = {
    info: { name: 'join', keySize: JOIN_KEY.bytes, valueSize: JOIN_VALUE.bytes, maxEntries: 8192, perCpu: 1 },
    // The map gives all entries but the last one, then the last one.
    part: (_room, from) => {
      const found = [...held].slice(...(from === undefined ? [0, -1] : [-1]))
      const keys = Buffer.concat(found.map(([key]) => Buffer.from(key, 'hex')))
      const values = Buffer.concat(found.map(([, value]) => value))
      return { keys, values, count: found.length, next: from === undefined ? Buffer.from('there') : undefined }
    },
    delete: (key) => held.delete(Buffer.from(key).toString('hex')),
    lookup: unused,
    lookupAll: unused,
    update: unused,
    freeze: unused,
    close: unused,
    [Symbol.dispose]: unused,
  }
  const update = (_: Uint8Array, value: Uint8Array): boolean => {
    swept = Buffer.from(value).readBigUInt64LE()
    return true
  }
  const table = Buffer.alloc(places.length * PENDING.bytes)
  for (const [i, [number, enteredNs]] of places.entries()) {
    table.writeBigUInt64LE(number, i * PENDING.bytes + PENDING.call)
    writeTime(table, i * PENDING.bytes + PENDING.entered, enteredNs)
  }
  const maps: JoinMaps = {
    join: map,
    '.data.kept': map,
    '.data.swept': { ...map, update },
    '.data.pending': { ...map, lookup: () => table },
  }
  return { map: (name) => maps[name as keyof JoinMaps], held, swept: () => swept }
}

const rows: ReadonlyArray<{ name: string; enteredNs: bigint; start: ReturnType<ThreadStart>; taken: number }> = [
  { name: 'an ended thread', enteredNs: 90n * SECOND, start: 'gone', taken: 1 },
  { name: 'a later thread with the same number', enteredNs: 90n * SECOND, start: 95n * SECOND, taken: 1 },
  { name: 'a call that still runs', enteredNs: 90n * SECOND, start: 10n * SECOND, taken: 0 },
  { name: 'a call in the tick its thread began in', enteredNs: 90n * SECOND, start: 90n * SECOND, taken: 0 },
  { name: 'a start reported up to a tick late', enteredNs: 90n * SECOND, start: 90n * SECOND + 9_999_999n, taken: 0 },
  { name: 'a thread that procfs cannot describe', enteredNs: 90n * SECOND, start: 'unknown', taken: 0 },
  { name: 'an entry too new to be checked', enteredNs: NOW - SECOND, start: 'gone', taken: 0 },
]

describe('sweep of the joins', () => {
  for (const { name, enteredNs, start, taken } of rows) {
    it(`${name}: ${taken === 1 ? 'is removed' : 'stays'}`, () => {
      const map = joinMap([{ key: keyOf(7, 8), enteredNs }])
      const sweep = new JoinSweep(
        map.map,
        threads((tgid, tid) => {
          assert.deepEqual([tgid, tid], [7, 8])
          return start
        }),
      )
      sweep.sweep(NOW)
      assert.equal(sweep.takeEnds().length, taken)
      assert.equal(map.held.size, 1 - taken)
      sweep.sweep(NOW)
      assert.deepEqual(sweep.takeEnds(), [])
    })
  }

  it('an entry of a map that another process has frozen stays, and ends no agent', () => {
    const map = joinMap([{ key: keyOf(7, 8), enteredNs: 0n }])
    const frozen = (name: string): BpfMap =>
      Object.assign(map.map(name), {
        delete: () => {
          throw new NativeError('NOT_PERMITTED', 'frozen')
        },
      })
    const sweep = new JoinSweep(
      frozen,
      threads(() => 'gone'),
    )
    sweep.sweep(NOW)
    assert.deepEqual(sweep.takeEnds(), [])
  })

  it('the idle tasks, which procfs does not list, count as running', () => {
    const map = joinMap([{ key: keyOf(0, 0), enteredNs: 0n }])
    new JoinSweep(
      map.map,
      threads(() => 'gone'),
    ).sweep(NOW)
    assert.equal(map.held.size, 1)
  })

  it('an entry that its return removes at the same moment ends only once', () => {
    const map = joinMap([{ key: keyOf(7, 8), enteredNs: 0n }])
    const sweep = new JoinSweep(
      map.map,
      threads(() => {
        map.held.clear()
        return 'gone'
      }),
    )
    sweep.sweep(NOW)
    assert.deepEqual(sweep.takeEnds(), [])
  })

  it('reports how a call ended, at once if only the ring had no room', () => {
    const young = { enteredNs: NOW - 5n }
    const sp = 0xffff_c900_1234_5678n
    const other = 0xffff_c900_0000_4321_0007n & 0xffff_ffff_ffff_ffffn
    const entries = [
      { key: keyOf(7, 8, sp), ...young, state: JOIN_RETURNED, returned: 0xffff_ffff_ffff_fff2n },
      { key: keyOf(7, 9, sp + 8n), ...young, state: JOIN_MISSED },
      { key: keyOf(7, 10, sp + 16n), ...young, state: JOIN_UNREAD },
      { key: keyOf(7, 11, sp + 24n), ...young },
      { key: keyOf(9, 9, sp), enteredNs: SECOND, state: JOIN_UNREAD },
    ]
    // A free place keeps the time of its last call.
    const map = joinMap(entries, [
      [0n, NOW],
      [other, NOW],
    ])
    const sweep = new JoinSweep(
      map.map,
      threads((tgid) => (tgid === 9 ? 'gone' : 1n)),
    )
    sweep.sweep(NOW)
    const entered = { sec: 99, nsec: 999_999_995 }
    assert.equal(sweep.fromMap, 2)
    assert.deepEqual(
      sweep.calls(),
      new Set([
        callKey({ ...entered, callLo: 0x5688_0000, callHi: 0xc900_1234 }),
        callKey({ ...entered, callLo: 0x5690_0000, callHi: 0xc900_1234 }),
        callKey({ sec: 100, nsec: 0, callLo: 0x4321_0007, callHi: 0xc900_0000 }),
      ]),
    )
    assert.deepEqual(sweep.takeEnds(), [
      { tid: 8, ...entered, callLo: 0x5678_0000, callHi: 0xc900_1234, returned: { lo: 0xffff_fff2, hi: 0xffff_ffff } },
      { tid: 9, ...entered, callLo: 0x5680_0000, callHi: 0xc900_1234, returned: undefined },
    ])
    assert.equal(sweep.lost, 1)
    assert.equal(map.swept(), 3n)
    assert.equal(map.held.size, 2)
  })

  it('checks each thread once, and a few hundred in a sweep; the others follow in later sweeps', () => {
    const entries = Array.from({ length: 3000 }, (_, i) => ({
      key: keyOf(1 + (i >> 1), 1 + (i >> 1), BigInt(i & 1)),
      enteredNs: 0n,
    }))
    const asked = new Map<number, number>()
    const map = joinMap(entries)
    const sweep = new JoinSweep(
      map.map,
      threads((tgid) => {
        asked.set(tgid, (asked.get(tgid) ?? 0) + 1)
        return tgid > 1400 ? 'gone' : 1n
      }),
    )
    sweep.sweep(NOW)
    assert.ok(map.held.size === 3000 && asked.size <= 256, `${asked.size} asked`)
    for (let i = 0; i < 40; i++) sweep.sweep(NOW)
    assert.equal(sweep.takeEnds().length, 200)
    assert.equal(map.held.size, 2800)
  })

  it('no thread counts as ended if even the agent is missing', () => {
    const map = joinMap([{ key: keyOf(7, 8), enteredNs: 0n }])
    new JoinSweep(map.map, new GoneThreads(() => 'gone', AGENT)).sweep(NOW)
    assert.equal(map.held.size, 1)
  })

  it('procfs: a running thread has a start, an unknown one is gone, and without procfs the start is unknown', () => {
    const starts = threadStarts('/proc')
    const start = starts(process.pid, process.pid)
    assert.ok(typeof start === 'bigint' && start > 0n, String(start))
    assert.equal(starts(process.pid, 0x7fff_ffff), 'gone')
    assert.equal(threadStarts('/etc/hostname')(1, 1), 'unknown')
  })
})
