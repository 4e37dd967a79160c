/** The check of the accounting works: a withheld record, or one from an unknown source, is an imbalance. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pino } from 'pino'
import { RingAccounting } from '../../../../collector/ingest/ring-accounting.ts'
import { Losses } from '../../../../collector/telemetry/losses.ts'
import type { KernelCounts } from '../../../../collector/kernel/port.ts'
import { COUNTERS } from '../../../../collector/wire/wire.ts'

type Counters = Record<(typeof COUNTERS)[number], number>

/** A kernel side that numbers records on two CPUs, and the agent's accounting of it. */
function accounts(): {
  kernel: { taken: number; readonly counters: Counters }
  accounting: RingAccounting
  losses: Losses
  log: string[]
} {
  const kernel = { taken: 0, counters: Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Counters }
  const counts = (): KernelCounts => ({
    taken: kernel.taken,
    counters: { ...kernel.counters },
    programs: new Map(),
    functions: new Map(),
  })
  const accounting = new RingAccounting({ counts, ring: { malformed: () => 0 } })
  const log: string[] = []
  const losses = new Losses({
    kernel: { counts },
    ingest: { accounting, orphaned: 0 },
    guard: { counts: new Map() },
    log: pino({ base: null }, { write: (line: string) => void log.push(line) }),
  })
  return { kernel, accounting, losses, log }
}

interface Row {
  readonly name: string
  /** Numbers the kernel took, by CPU. */
  readonly taken: readonly [number, number]
  readonly refused: ReadonlyArray<readonly [cpu: number, seq: number]>
  readonly withheld: ReadonlyArray<readonly [cpu: number, seq: number]>
  readonly imbalance: number
}

const rows: readonly Row[] = [
  { name: 'everything came', taken: [5, 3], refused: [], withheld: [], imbalance: 0 },
  { name: 'nothing happened', taken: [0, 0], refused: [], withheld: [], imbalance: 0 },
  {
    name: 'refused records are no imbalance',
    taken: [5, 3],
    refused: [
      [0, 2],
      [1, 0],
    ],
    withheld: [],
    imbalance: 0,
  },
  { name: 'a record withheld in the middle', taken: [5, 3], refused: [], withheld: [[0, 2]], imbalance: 1 },
  { name: 'the last record withheld', taken: [5, 3], refused: [], withheld: [[1, 2]], imbalance: 1 },
  {
    name: 'all of one CPU withheld',
    taken: [5, 3],
    refused: [],
    withheld: [
      [1, 0],
      [1, 1],
      [1, 2],
    ],
    imbalance: 3,
  },
  { name: 'one refused and one withheld', taken: [5, 3], refused: [[0, 0]], withheld: [[0, 4]], imbalance: 1 },
]

const has = (list: Row['refused'], cpu: number, seq: number): boolean => list.some(([c, s]) => c === cpu && s === seq)

describe('accounting of the ring', () => {
  for (const row of rows) {
    it(row.name, () => {
      const { kernel, accounting } = accounts()
      row.taken.forEach((taken, cpu) => {
        for (let seq = 0; seq < taken; seq++) {
          if (!has(row.refused, cpu, seq) && !has(row.withheld, cpu, seq)) accounting.tracker.see(cpu, seq)
        }
        kernel.taken += taken
      })
      kernel.counters.ring_full_hook = row.refused.length
      accounting.look()
      accounting.emptied()
      accounting.look()
      assert.equal(accounting.imbalance, row.imbalance)
    })
  }

  it('a gap in the numbers equals the refused records, without reading kernel counters', () => {
    const { tracker } = accounts().accounting
    for (const seq of [0, 1, 4, 5]) tracker.see(0, seq)
    for (const seq of [1, 0, 3, 2]) tracker.see(1, seq)
    assert.equal(tracker.gaps(), 2)
    assert.equal(tracker.received, 8)
  })

  it('records still in the ring are no imbalance until the ring was found empty', () => {
    const { kernel, accounting } = accounts()
    kernel.taken = 7
    accounting.look()
    accounting.look()
    assert.equal(accounting.imbalance, 0)
    accounting.emptied()
    accounting.look()
    assert.equal(accounting.imbalance, 7)
  })

  it('a loss is logged when it grows, with its reason, and once', () => {
    const { kernel, losses, log } = accounts()
    losses.report()
    assert.deepEqual(log, [])
    kernel.counters.ring_full_hook = 3
    losses.report()
    losses.report()
    kernel.counters.path_raced = 9 // a fall-back, nothing was lost
    losses.report()
    assert.equal(log.length, 1)
    assert.match(log[0] ?? '', /"total":"ring_full_hook=3".*"msg":"events were lost"/)
    kernel.counters.return_missed = 1
    losses.report()
    assert.match(log[1] ?? '', /"new":1,"total":"ring_full_hook=3 return_missed=1"/)
  })
})
