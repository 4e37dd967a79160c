import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../../exporters/contract/event.ts'
import { EncoderPool } from '../../../exporters/encoding/pool.ts'
import type { Encoded, Encoder, Outcome } from '../../../exporters/contract/exporter.ts'
import { FanOut } from '../../../exporters/fanout.ts'
import { Sender } from '../../../exporters/sending/sender.ts'
import { makeExec } from './support/events.ts'
import { FakeClock, settle } from './support/fake-clock.ts'
import { FakeExporter, gate, lines, numbers } from './support/lines.ts'
import { CHAIN } from '../../support/exporter-config.ts'
import type { ChainConfig } from '../../../exporters/sending/config.ts'
import { DEFAULT_RECORDS } from '../../../config/agent/exporters/otlp-records.ts'

const events = (from: number, count: number): Event[] => numbers(from, from + count).map((seq) => makeExec({ seq }))

/** Encodes events as numbered lines and counts its calls. */
class Counting implements Encoder {
  readonly encoding = 'json'
  calls = 0
  encode(all: readonly Event[]): Encoded {
    this.calls++
    return lines(all[0]?.seq ?? 0, all.length)
  }
}

function makeSender(exporter: FakeExporter, maxEvents: number, whenFull: ChainConfig['queue']['when_full']): Sender {
  const queue = { max_bytes: 1 << 20, max_events: maxEvents, when_full: whenFull }
  const batch = { max_events: 100, max_bytes: 1 << 20, max_wait: 0 }
  return new Sender('test', exporter, { ...CHAIN, queue, batch }, { clock: new FakeClock() })
}

test('fan-out: encodes once for all senders of one encoder, and in slices', async () => {
  const encoder = new Counting()
  const exporters = [new FakeExporter(), new FakeExporter()]
  const fanOut = new FanOut(
    exporters.map((exporter) => ({ encoder, sender: makeSender(exporter, 1000, 'drop_newest') })),
  )
  await fanOut.start()
  assert.equal(fanOut.publish(events(0, 450)), undefined)
  await settle()
  assert.equal(encoder.calls, 3)
  for (const { ids } of exporters) assert.deepEqual(ids, numbers(0, 450))
})

test('fan-out: an empty slice makes no work', () => {
  const encoder = new Counting()
  const fanOut = new FanOut([{ encoder, sender: makeSender(new FakeExporter(), 10, 'block') }])
  assert.equal(fanOut.publish([]), undefined)
  assert.equal(encoder.calls, 0)
})

test('fan-out: a stuck exporter that drops does not affect others', async () => {
  const encoder = new Counting()
  const good = new FakeExporter()
  const stuck = makeSender(new FakeExporter(gate().answer), 100, 'drop_newest')
  const fanOut = new FanOut([
    { encoder, sender: stuck },
    { encoder, sender: makeSender(good, 1000, 'drop_newest') },
  ])
  await fanOut.start()
  for (let i = 0; i < 10; i++) {
    assert.equal(fanOut.publish(events(i * 50, 50)), undefined)
    await settle()
  }
  assert.deepEqual(good.ids, numbers(0, 500))
  assert.equal(stuck.accounting().dropped.queue_full, 400)
  assert.equal(stuck.imbalance(), 0)
})

test('fan-out: a stuck exporter that blocks makes the caller wait until it has space again', async () => {
  const encoder = new Counting()
  const { answer, open } = gate()
  const exporter = new FakeExporter(answer)
  const fanOut = new FanOut([{ encoder, sender: makeSender(exporter, 100, 'block') }])
  await fanOut.start()
  assert.equal(fanOut.publish(events(0, 100)), undefined)
  await settle()
  const wait = fanOut.publish(events(100, 100))
  assert.ok(wait instanceof Promise)
  const delivered: Outcome = { status: 'delivered' }
  open(delivered)
  await wait
  await settle()
  open(delivered)
  await settle()
  assert.deepEqual(exporter.ids, numbers(0, 200))
})

test('fan-out: a sink that cannot work fails the start, and a stop closes the others', async () => {
  class Broken extends FakeExporter {
    override start(): Promise<void> {
      return Promise.reject(new Error('no such folder'))
    }
  }
  const encoder = new Counting()
  const [broken, good] = [new Broken(), new FakeExporter()]
  const fanOut = new FanOut([broken, good].map((exporter) => ({ encoder, sender: makeSender(exporter, 10, 'block') })))
  await assert.rejects(fanOut.start(), /no such folder/)
  await fanOut.stop(1000)
  assert.deepEqual([broken.stops, good.stops], [1, 1])
})

test('encoders: the pool shares one object for each distinct need', async () => {
  const pool = new EncoderPool('node')
  const [plain, colored] = [false, true].map((color) => ({ color, timestamps: false }))
  assert.ok(plain !== undefined && colored !== undefined)
  assert.equal(pool.json(), pool.json())
  assert.equal(pool.compact(plain), pool.compact({ ...plain }))
  assert.notEqual(pool.compact(plain), pool.compact(colored))
  const records = { ...DEFAULT_RECORDS, protocol: 'protobuf', sdk: false, epoch: 'e' } as const
  const [first, second] = await Promise.all([pool.otlp(records), pool.otlp({ ...records })])
  assert.equal(first, second)
  assert.notEqual(await pool.otlp({ ...records, body: 'none' }), first)
  assert.equal((await pool.otlp({ ...records, protocol: 'json' })).encoding, 'otlp_json')
  assert.equal((await pool.otlp({ ...records, sdk: true })).encoding, 'otlp')
})

test('fan-out: it has failed once no sender can deliver any more, with the reason of each', async () => {
  const states: Outcome[] = [
    { status: 'hold', forGood: true, error: new Error('its reader has gone') },
    { status: 'hold', error: new Error('no right') },
  ]
  const fanOut = new FanOut(
    [0, 1].map((i) => ({
      encoder: new Counting(),
      sender: makeSender(new FakeExporter(() => states[i] ?? { status: 'delivered' }), 10, 'block'),
    })),
  )
  await fanOut.start()
  assert.equal(fanOut.failure(), undefined)
  await fanOut.publish(events(0, 10))
  await settle()
  assert.deepEqual(
    fanOut.senders.map((sender) => sender.accounting().state),
    ['failed', 'hold'],
  )
  assert.equal(fanOut.failure(), undefined)
  states[1] = { status: 'hold', forGood: true, error: new Error('its terminal has gone') }
  await fanOut.reopen()
  await settle()
  assert.equal(
    fanOut.failure()?.message,
    'no exporter can deliver events: exporter test: its reader has gone; exporter test: its terminal has gone',
  )
})

test('fan-out: a reopen reports the senders that failed, with the reason', async () => {
  const [good, bad] = [new FakeExporter(), new FakeExporter()]
  let reopened = 0
  Object.assign(good, { reopen: async () => void reopened++ })
  Object.assign(bad, { reopen: () => Promise.reject(new Error('it is a link')) })
  const fanOut = new FanOut(
    [bad, good].map((exporter) => ({ encoder: new Counting(), sender: makeSender(exporter, 10, 'block') })),
  )
  assert.deepEqual(await fanOut.reopen(), [{ exporter: 'test', error: 'it is a link' }])
  assert.equal(reopened, 1)
})

test('fan-out: a removed exporter is shown for half a minute after its stop', async (t) => {
  let nowMs = 0
  t.mock.method(performance, 'now', () => nowMs)
  const fanOut = new FanOut([{ encoder: new Counting(), sender: makeSender(new FakeExporter(), 10, 'block') }])
  const [removed] = fanOut.senders
  fanOut.replace([], 5000)
  nowMs = 34_999
  assert.deepEqual(fanOut.senders, [removed])
  nowMs = 35_000
  assert.deepEqual(fanOut.senders, [])
})
