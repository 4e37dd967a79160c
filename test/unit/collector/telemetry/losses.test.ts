/** Losses show, also while other records keep arriving; records on their way do not count. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { RingAccounting } from '../../../../collector/ingest/ring-accounting.ts'
import { Losses } from '../../../../collector/telemetry/losses.ts'
import type { KernelCounts } from '../../../../collector/kernel/port.ts'
import { COUNTERS } from '../../../../collector/wire/wire.ts'

type Counters = Record<(typeof COUNTERS)[number], number>

function setup(): {
  counters: Counters
  log: string[]
  losses: Losses
  accounting: RingAccounting
  tick(fate: (i: number) => Fate): void
  deliver(): void
  /** The ring's reader leaves out malformed records. */
  leaveOut(records: number): void
} {
  const counters = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Counters
  const log: string[] = []
  let taken = 0
  let onTheWay: number[] = []
  let leftOut = 0
  const counts = (): KernelCounts => ({
    taken,
    counters: { ...counters },
    programs: new Map(),
    functions: new Map(),
  })
  const accounting = new RingAccounting({ counts, ring: { malformed: () => leftOut } })
  const { tracker } = accounting
  const losses = new Losses({
    kernel: { counts },
    ingest: { accounting, orphaned: 0 },
    guard: { counts: new Map([['gate_changed', 0]]) },
    log: pino({ base: null }, { write: (line: string) => void log.push(line) }),
  })
  const deliver = (): void => {
    for (const seq of onTheWay) tracker.see(0, seq)
    onTheWay = []
  }
  return {
    counters,
    log,
    losses,
    accounting,
    deliver,
    leaveOut: (records) => (leftOut += records),
    // A hundred records, then the housekeeping.
    tick(fate) {
      for (let i = 0; i < 100; i++) {
        const seq = taken++
        if (fate(i) === 'comes') tracker.see(0, seq)
        if (fate(i) === 'late') onTheWay.push(seq)
        if (fate(i) === 'refused') counters.ring_full_hook++
      }
      accounting.emptied()
      accounting.look()
      losses.report()
    },
  }
}

type Fate = 'comes' | 'late' | 'refused' | 'withheld'

test('losses: records withheld in the middle of a steady stream are counted, and stay counted', () => {
  const s = setup()
  s.tick(() => 'comes')
  s.tick((i) => (i < 10 ? 'withheld' : 'comes'))
  for (let i = 0; i < 3; i++) s.tick(() => 'comes')
  assert.equal(s.accounting.imbalance, 10)
})

test('losses: records withheld at the end are counted at the next tick', () => {
  const s = setup()
  s.tick((i) => (i < 93 ? 'comes' : 'withheld'))
  s.accounting.emptied()
  s.accounting.look()
  assert.equal(s.accounting.imbalance, 7)
})

test('losses: records out of order, or on their way at a tick, are not counted', () => {
  const s = setup()
  for (let i = 0; i < 5; i++) {
    s.deliver()
    s.tick((n) => (n % 10 === 0 ? 'late' : 'comes'))
    // Late records of this tick come before the next one.
    s.deliver()
    assert.equal(s.accounting.imbalance, 0)
  }
})

test('losses: records that the ring refused are a loss with a reason, no imbalance, and a line in the log each time they grow', () => {
  const s = setup()
  s.tick((i) => (i % 2 === 0 ? 'refused' : 'comes'))
  s.tick(() => 'comes')
  s.tick((i) => (i === 0 ? 'refused' : 'comes'))
  s.tick(() => 'comes')
  assert.equal(s.accounting.imbalance, 0)
  assert.equal(s.losses.list().find(({ reason }) => reason === 'ring_full_hook')?.count, 51)
  assert.deepEqual(
    s.log.map((line) => /"new":(\d+),"total":"([^"]*)"/.exec(line)?.slice(1)),
    [
      ['50', 'ring_full_hook=50'],
      ['1', 'ring_full_hook=51'],
    ],
  )
})

test('losses: every reason is listed while it is 0, fall-backs are not losses', () => {
  const s = setup()
  s.counters.path_raced = 5
  s.tick(() => 'comes')
  assert.deepEqual(s.log, [])
  assert.deepEqual(
    s.losses.list().map(({ reason, count }) => `${reason}=${count}`),
    [
      'ring_full_hook',
      'ring_full_process',
      'return_missed',
      'process_map_full',
      'malformed',
      'orphaned',
      'gate_changed',
    ].map((reason) => `${reason}=0`),
  )
})

test('losses: malformed records count, whether the ring or the decoder found them', () => {
  const s = setup()
  s.leaveOut(3)
  s.accounting.undecoded += 2
  assert.equal(s.losses.list().find(({ reason }) => reason === 'malformed')?.count, 5)
})
