/**
 * A wall clock that jumps with a Loki that has its own clock: delivered events are in Loki, or were left out there
 * because an equal entry (stream, time, line) is stored. By uid, not by our own counters.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../../../../exporters/contract/event.ts'
import { createOtlpEncoder } from '../../../../../exporters/encoding/otlp/encode.ts'
import { batchOf } from '../../../../../exporters/contract/encoded.ts'
import { Sender } from '../../../../../exporters/sending/sender.ts'
import { FakeLoki } from '../../../../support/otlp/loki.ts'
import { bodyOf, seqOf } from '../../../../support/otlp/decode.ts'
import { FakeSink } from '../../../../support/otlp/server.ts'
import type { Received } from '../../../../support/otlp/server.ts'
import { makeKprobe } from '../../support/events.ts'
import { until } from '../../support/fake-clock.ts'
import { NEVER, encoderOptions, exporterFor, LOKI } from './support.ts'
import { CHAIN } from '../../../../support/exporter-config.ts'

const HOUR = 3600
const TRUE_SEC = 1_795_528_989

/** The agent clock minus that of Loki, in seconds, and the number of events meanwhile; those of one row are sent after its end. */
const ROWS: ReadonlyArray<ReadonlyArray<readonly [offset: number, events: number]>> = [
  [[0, 1300]],
  [
    [0, 100],
    [-3 * HOUR, 147],
    [6 * HOUR, 46],
  ],
  [[6 * HOUR, 70]],
  [
    [6 * HOUR, 30],
    [0, 400],
  ],
  [
    [-3 * HOUR, 60],
    [6 * HOUR, 20],
    [0, 700],
  ],
]

const at = (seq: number, sec: number, nsec = seq): Event => makeKprobe({ seq, time: { sec, nsec } })

/** Time and line of each uid that was ever sent. */
function sentBy(requests: readonly Received[]): Map<number, string> {
  const all = new Map<number, string>()
  for (const request of requests) {
    for (const record of request.logs().records) all.set(seqOf(record), `${record.timeUnixNano} ${bodyOf(record)}`)
  }
  return all
}

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

for (const batchEvents of [1000, 300]) {
  test(`loki: delivered events are stored while the clock jumps, in batches of ${batchEvents}`, async () => {
    const nowMs = (): number => TRUE_SEC * 1000
    const loki = new FakeLoki({ nowMs })
    await using sink = await FakeSink.start(loki.script)
    let offset = 0
    const wallMs = (): number => (TRUE_SEC + offset) * 1000
    const options = {
      ...CHAIN,
      batch: { max_events: batchEvents, max_bytes: 4 << 20, max_wait: 5 },
      retry: { initial: 1, max: 1 },
    }
    const sender = new Sender('loki', exporterFor(sink, { loki: LOKI }, { wallMs }), options)
    await sender.start()
    const encoder = createOtlpEncoder(encoderOptions)
    let seq = 0
    for (const row of ROWS) {
      for (const [seconds, count] of row) {
        offset = seconds
        // Every tenth event has the time and the line of the one before: equal for Loki.
        const events = Array.from({ length: count }, () => {
          const nsec = seq % 10 === 9 ? seq - 1 : seq
          return at(seq++, TRUE_SEC + seconds, nsec)
        })
        void sender.offer(encoder.encode(events))
      }
      // Entries of the future are held until the clock is right again and they are recognised.
      await until(
        'it holds or has sent all',
        () => sender.accounting().state === 'hold' || sender.accounting().heldEvents === 0,
      )
      offset = 0
      await until('all is settled', () => sender.accounting().heldEvents === 0)
    }
    await sender.stop(5000)
    const { delivered, rejected, dropped } = sender.accounting()
    const found = new Set(loki.uids)
    const sent = sentBy(sink.requests)
    const lines = new Set([...found].map((uid) => sent.get(uid)))
    const equal = [...sent].filter(([uid, line]) => !found.has(uid) && lines.has(line)).length
    assert.ok(equal > 100, 'some must be equal to others')
    assert.ok(sum(rejected) > 300, 'some must be rejected')
    assert.equal(sum(dropped), 0)
    assert.equal(delivered, found.size + equal, `found ${found.size}, left out as equal ${equal}`)
    assert.equal(delivered + sum(rejected), seq)
  })
}

test('loki: entries that are too old do not count as stored if others are too far behind', async () => {
  const nowMs = (): number => TRUE_SEC * 1000
  const loki = new FakeLoki({ nowMs })
  await using sink = await FakeSink.start(loki.script)
  await using exporter = exporterFor(sink)
  await exporter.start()
  const encoder = createOtlpEncoder(encoderOptions)
  assert.deepEqual(await exporter.send(batchOf([encoder.encode([at(0, TRUE_SEC)])]), NEVER), { status: 'delivered' })
  const times = [0, -3, -3, -200, 0, -200].map((hours) => TRUE_SEC + hours * HOUR)
  const outcome = await exporter.send(batchOf([encoder.encode(times.map((sec, i) => at(1 + i, sec)))]), NEVER)
  assert.equal(outcome.status, 'partial')
  const refusals = outcome.status === 'partial' ? outcome.refusals : []
  assert.deepEqual(refusals.map(({ reason, events }) => [reason, events]).toSorted(), [
    ['too_far_behind', 2],
    ['too_old', 2],
  ])
  assert.deepEqual(loki.uids, [0, 1, 5])
})
