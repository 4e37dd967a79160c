import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOtlpEncoder } from '../../../../../../exporters/encoding/otlp/encode.ts'
import { createOtlpJsonEncoder } from '../../../../../../exporters/encoding/otlp/json-encode.ts'
import type { LokiLimits } from '../../../../../../config/agent/exporters/otlp.ts'
import { batchOf } from '../../../../../../exporters/contract/encoded.ts'
import type { Outcome } from '../../../../../../exporters/contract/exporter.ts'
import type { Event } from '../../../../../../exporters/contract/event.ts'
import { FakeLoki } from '../../../../../support/otlp/loki.ts'
import type { LokiOptions } from '../../../../../support/otlp/loki.ts'
import { FakeSink } from '../../../../../support/otlp/server.ts'
import { file, makeHook, makeKprobe, makeProcess } from '../../../support/events.ts'
import { NEVER, encoderOptions, exporterFor, LOKI } from '../support.ts'

const SEC = 1_795_528_989
const nowMs = (): number => SEC * 1000
const at = (seq: number, sec = SEC, change: Parameters<typeof makeKprobe>[0] = {}): Event =>
  makeKprobe({ ...change, seq, time: { sec, nsec: seq } })
const long = (length: number): Parameters<typeof makeKprobe>[0] => ({
  process: makeProcess({ arguments: 'x'.repeat(length) }),
})

/** The refusals, without messages. */
function refused(outcome: Outcome): object[] {
  if (outcome.status !== 'partial') return []
  return outcome.refusals.map(({ reason, events, which }) => ({
    reason,
    events,
    ...(which === undefined ? {} : { which }),
  }))
}

/** Sends the events to a fake Loki, with or without checks before. */
async function sent(events: readonly Event[], options: LokiOptions, loki: LokiLimits | undefined, json = false) {
  const fake = new FakeLoki({ nowMs, ...options })
  await using sink = await FakeSink.start(fake.script)
  const protocol = json ? 'http/json' : 'http/protobuf'
  await using exporter = exporterFor(sink, { protocol, ...(loki === undefined ? {} : { loki }) }, { wallMs: nowMs })
  await exporter.start()
  const encoder = json ? createOtlpJsonEncoder(encoderOptions) : createOtlpEncoder(encoderOptions)
  const outcome = await exporter.send(batchOf([encoder.encode(events)]), NEVER)
  return { outcome, fake, requests: sink.requests.length }
}

const tags = Array.from({ length: 4000 }, (_, i) => `tag-number-${i}`)
const bad: ReadonlyArray<readonly [reason: string, event: Event]> = [
  ['too_old', at(1, SEC - 7 * 86_400 - 1)],
  ['too_new', at(1, SEC + 601)],
  // Arguments have a bound of their own.
  ['metadata_too_large', at(1, SEC, { process: makeProcess({ cwd: `/${'x'.repeat(70_000)}` }) })],
  ['metadata_too_large', at(1, SEC, { hook: makeHook({ tags }) })],
]
for (const json of [false, true]) {
  for (const [reason, event] of bad) {
    test(`loki: an entry that is ${reason} is refused before it is sent${json ? ', in JSON too' : ''}`, async () => {
      const { outcome, fake, requests } = await sent([at(0), event, at(2)], {}, LOKI, json)
      assert.deepEqual(refused(outcome), [{ reason, events: 1, which: [1] }])
      assert.equal(fake.entries.length, 2)
      assert.equal(requests, 1)
    })

    test(`loki: unchecked, an entry that is ${reason} is found by halving and stored ones are not duplicated${json ? ', in JSON too' : ''}`, async () => {
      const { outcome, fake } = await sent([at(0), event, at(2)], {}, undefined, json)
      assert.deepEqual(refused(outcome), [{ reason, events: 1, which: [1] }])
      assert.equal(fake.entries.length, 2)
      assert.ok(fake.duplicates > 0, 'good entries of a refused request are stored the first time')
    })
  }
}

test('loki: a line that is too large is refused before it is sent', async () => {
  const limits = { ...LOKI, max_line_size: 4096, max_metadata_size: 1 << 20 }
  const { outcome, fake } = await sent([at(0), at(1, SEC, long(5000))], { maxLineBytes: 4096 }, limits)
  assert.deepEqual(outcome, {
    status: 'partial',
    refusals: [
      { reason: 'too_large', events: 1, which: [1], message: 'not sent: expected a body of at most 4096 bytes' },
    ],
  })
  assert.equal(fake.entries.length, 1)
})

test('loki: each reason is reported separately, with its events', async () => {
  const [tooOld, tooNew] = [at(1, SEC - 7 * 86_400 - 1), at(3, SEC + 601)]
  const behind = at(4, SEC - 3601)
  const events = [at(0), tooOld, at(2), tooNew, behind, at(5, SEC - 8 * 86_400), at(6)]
  const { outcome, fake } = await sent(events, {}, LOKI)
  assert.deepEqual(refused(outcome), [
    { reason: 'too_far_behind', events: 1 },
    { reason: 'too_old', events: 2, which: [1, 5] },
    { reason: 'too_new', events: 1, which: [3] },
  ])
  assert.equal(fake.entries.length, 3)
})

test('loki: if no event of a batch may be sent, no request is made', async () => {
  const old = [at(0, SEC - 8 * 86_400), at(1, SEC - 9 * 86_400)]
  const alike = await sent(old, {}, LOKI)
  assert.ok(alike.outcome.status === 'rejected')
  assert.equal(alike.outcome.reason, 'too_old')
  assert.match(alike.outcome.error.message, /^not sent: expected an event of the last 604800 s$/)
  const { outcome, requests } = await sent([...old, at(2, SEC + 601)], {}, LOKI)
  assert.deepEqual(refused(outcome), [
    { reason: 'too_old', events: 2, which: [0, 1] },
    { reason: 'too_new', events: 1, which: [2] },
  ])
  assert.equal(alike.requests + requests, 0)
})

test('loki: an event just within every limit is sent and stored', async () => {
  const events = [at(0, SEC - 7 * 86_400), at(1, SEC, { args: [file('/x'.repeat(2000))] })]
  const { outcome, fake } = await sent(events, { outOfOrderMs: 8 * 86_400_000 }, LOKI)
  assert.deepEqual(outcome, { status: 'delivered' })
  assert.equal(fake.entries.length, 2)
  const { outcome: ahead } = await sent([at(0, SEC + 600)], {}, { ...LOKI, max_ahead: 601_000 })
  assert.deepEqual(ahead, { status: 'delivered' })
})

for (const json of [false, true]) {
  test(`loki: a value counts by itself, not by its form in ${json ? 'JSON' : 'protobuf'}`, async () => {
    // Not the arguments: an array is stored as its JSON.
    const quotes = makeProcess({ cwd: '"'.repeat(40_000) })
    const controls = makeProcess({ cwd: '\u0001'.repeat(20_000) })
    const events = [at(0, SEC, { process: quotes }), at(1, SEC, { process: controls })]
    const { outcome, fake } = await sent(events, {}, LOKI, json)
    assert.deepEqual(outcome, { status: 'delivered' })
    assert.equal(fake.entries.length, 2)
  })
}

test('loki: entries too far behind are counted from the answer of Loki, and sent once', async () => {
  const events = [at(0), at(1, SEC - 3601), at(2, SEC - 3599), at(3, SEC - 7200)]
  const { outcome, fake, requests } = await sent(events, {}, LOKI)
  assert.deepEqual(refused(outcome), [{ reason: 'too_far_behind', events: 2 }])
  assert.equal(fake.entries.length, 2)
  assert.equal(requests, 1)
})

test('loki: old entries before new ones are accepted, after an outage of any length', async () => {
  const events = Array.from({ length: 100 }, (_, i) => at(i, SEC - 6 * 86_400 + i * 5000))
  const { outcome, fake } = await sent(events, {}, LOKI)
  assert.deepEqual(outcome, { status: 'delivered' })
  assert.equal(fake.entries.length, 100)
})

test('loki: a batch above the burst is sent in halves after three refusals', async () => {
  const fake = new FakeLoki({ nowMs, burstBytes: 60_000 })
  await using sink = await FakeSink.start(fake.script)
  await using exporter = exporterFor(sink, { loki: LOKI }, { wallMs: nowMs })
  await exporter.start()
  const batch = batchOf([createOtlpEncoder(encoderOptions).encode(Array.from({ length: 100 }, (_, i) => at(i)))])
  let left = batch
  for (let tries = 0; tries < 20; tries++) {
    const outcome = await exporter.send(left, NEVER)
    if (outcome.status === 'delivered') break
    assert.equal(outcome.status, 'retryable')
    assert.equal('taken' in outcome ? outcome.taken : undefined, undefined)
    left = batch
  }
  assert.equal(fake.entries.length, 100)
  assert.ok(sink.requests.length < 20, `${sink.requests.length} requests`)
})

test('loki: while ingestion is blocked everything is kept, and sent once it is not', async () => {
  const fake = new FakeLoki({ nowMs, blocked: true })
  await using sink = await FakeSink.start(fake.script)
  await using exporter = exporterFor(sink, { loki: LOKI }, { wallMs: nowMs })
  await exporter.start()
  const batch = batchOf([createOtlpEncoder(encoderOptions).encode([at(0), at(1)])])
  for (let i = 0; i < 2; i++) assert.equal((await exporter.send(batch, NEVER)).status, 'hold')
  fake.options = { nowMs }
  assert.deepEqual(await exporter.send(batch, NEVER), { status: 'delivered' })
  assert.equal(fake.entries.length, 2)
})

test('loki: a batch that is sent again leaves no duplicates', async () => {
  const fake = new FakeLoki({ nowMs })
  await using sink = await FakeSink.start(fake.script)
  await using exporter = exporterFor(sink)
  await exporter.start()
  const batch = batchOf([createOtlpEncoder(encoderOptions).encode([at(0), at(1)])])
  for (let i = 0; i < 3; i++) assert.deepEqual(await exporter.send(batch, NEVER), { status: 'delivered' })
  assert.equal(fake.entries.length, 2)
  assert.equal(fake.duplicates, 4)
})

test('loki: a node is one stream', async () => {
  const { fake } = await sent([at(0), at(1, SEC, { process: makeProcess({ pid: 9 }) })], {}, LOKI)
  assert.equal(new Set(fake.entries.map(({ stream }) => stream)).size, 1)
})
