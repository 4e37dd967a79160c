/** Records about changes: in order, bounded in number and size, and every change counted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChangeRecords } from '../../../../collector/delivery/change-records.ts'
import { describe } from '../../../../exporters/contract/described.ts'
import type { Change } from '../../../../exporters/contract/event.ts'
import { frameOf } from '../../../../exporters/buffer/disk/format/payload.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'

interface Rig {
  readonly records: ChangeRecords
  readonly woken: () => number
  /** `what by: names count`, of the records that are due. */
  taken(all?: boolean): string[]
}

function rig(): Rig {
  let [sec, woken] = [0, 0]
  const records = new ChangeRecords({ now: () => ({ sec: sec++, nsec: 0 }), wake: () => void woken++ })
  records.begin()
  const taken = (all?: boolean): string[] =>
    records.take(all).map(({ what, by, names, count }) => `${what} ${by}: ${names.join()} ${count}`)
  return { records, woken: () => woken, taken }
}

const removed = (name: string, by = 'cluster'): Omit<Change, 'count'> => ({ what: 'policy_removed', by, names: [name] })

test('changes: policies and config of the start make no record', () => {
  const records = new ChangeRecords({ now: () => ({ sec: 0, nsec: 0 }), wake: () => assert.fail('woken') })
  records.note(removed('a'))
  assert.deepEqual([records.due, records.take(true)], [false, []])
})

test('changes: each wakes the line; those that follow each other share a record, with the time of the first', () => {
  const { records, woken, taken } = rig()
  records.note(removed('a'))
  records.note(removed('b'))
  records.note({ ...removed('a'), what: 'policy_added', mode: 'monitor' })
  records.note(removed('c'))
  records.note(removed('c'))
  assert.equal(woken(), 5)
  assert.deepEqual(
    records.take().map(({ what, names, count, time }) => [what, names, count, time.sec]),
    [
      ['policy_removed', ['a', 'b'], 2, 0],
      ['policy_added', ['a'], 1, 2],
      ['policy_removed', ['c'], 2, 3],
    ],
  )
  records.note(removed('d', 'file /d.yaml'))
  assert.deepEqual(taken(), ['policy_removed file /d.yaml: d 1'])
})

test('changes: different changes keep their order', () => {
  const { records, taken } = rig()
  for (const what of ['policy_added', 'policy_removed', 'policy_added'] as const)
    records.note({ ...removed('a'), what })
  records.note(removed('b', 'api uid=0 pid=1'))
  assert.deepEqual(taken(), [
    'policy_added cluster: a 1',
    'policy_removed cluster: a 1',
    'policy_added cluster: a 1',
    'policy_removed api uid=0 pid=1: b 1',
  ])
})

test('changes: a flood makes few records a tick, waits in bounded memory, and every change is counted', () => {
  const { records } = rig()
  const counts: number[] = []
  let most = 0
  for (let i = 0; i < 100_000; i++) {
    records.note({ what: i % 2 === 0 ? 'policy_added' : 'policy_removed', by: `file /p/${i}.yaml`, names: [`p${i}`] })
    if (i % 10_000 === 0) {
      const taken = records.take()
      most = Math.max(most, taken.length)
      counts.push(...taken.map(({ count }) => count))
      records.tick()
    }
  }
  const last = records.take()
  assert.deepEqual([last.length, records.due], [1, false], 'until the next tick')
  counts.push(...last.map(({ count }) => count))
  const rest = records.take(true)
  counts.push(...rest.map(({ count }) => count))
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    100_000,
  )
  assert.ok(most <= 20 && rest.length <= 46, `${most} ${rest.length}`)
  assert.ok(rest.some(({ by, names }) => by === 'several' && names.length === 30))
})

test('changes: the longest names fit into a line of 64 KiB and into a spool', () => {
  const { records } = rig()
  const long = (i: number): string => `${i}\u0001`.padEnd(100_000, '\u0001')
  records.note({
    what: 'config_changed',
    by: `file ${long(0)}`,
    names: Array.from({ length: 9999 }, (_, i) => long(i)),
  })
  const events = records.take()
  assert.deepEqual(
    events.map(({ count, names }) => [count, names.length]),
    [[9999, 30]],
  )
  const encoded = createJsonEncoder({ nodeName: 'n' }).encode(events)
  assert.ok(encoded.bytes.length < 65_536, String(encoded.bytes.length))
  frameOf(describe(encoded, events))
})
