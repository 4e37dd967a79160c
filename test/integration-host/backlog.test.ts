/**
 * After an outage of 72 hours a spool is replayed to Loki, which refuses entries an hour older than the newest of their
 * stream: they arrive in order, followed by new events, and none is refused. Expired events are counted.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { createFanOut } from '../../exporters/start.ts'
import { loadConfig } from '../../config/agent/load.ts'
import { EncoderPool } from '../../exporters/index.ts'
import type { Accounting } from '../../exporters/index.ts'
import { makeBacklog } from '../support/delivery/backlog.ts'
import { waitUntil } from '../support/delivery/child.ts'
import { eventAt, numberIn } from '../support/delivery/events.ts'
import { FakeLoki } from '../support/otlp/loki.ts'
import { FakeSink } from '../support/otlp/server.ts'
import { Folder } from '../unit/exporters/support/folder.ts'
import { DEFAULT_RECORDS } from '../../config/agent/exporters/otlp-records.ts'

const HOUR_MS = 3_600_000
const EVERY_MS = 60_000
const EVENTS = process.env['KTRAIL_LONG'] === '1' ? 60 : 10
const NEW_EVENTS = 500
const DEADLINE_MS = 120_000

interface Replay {
  /** Numbers in the order in which Loki stored them. */
  readonly stored: readonly number[]
  readonly accounting: Accounting
  readonly imbalance: number
  readonly backlog: number
  readonly duplicates: number
  readonly seconds: number
}

/** Makes a spool of 72 hours that ended a minute ago, starts exporters on it and publishes new events at once. */
async function replay(maxAge: string): Promise<Replay> {
  using folder = new Folder()
  const loki = new FakeLoki()
  await using sink = await FakeSink.start((request) => {
    sink.requests.length = 0
    return loki.script(request)
  })
  const spool = `spool: { dir: "${folder.path}", min_free: 0B, max_age: ${maxAge} }`
  const yaml = `exporters: { loki: { type: otlp, logs_endpoint: "${sink.url}", loki: true, body: json, retry: { initial: 50ms }, ${spool} } }\n`
  const loaded = loadConfig(yaml, 'c.yaml', {}, () => '')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const encoders = new EncoderPool('node-1')
  const records = { ...DEFAULT_RECORDS, protocol: 'protobuf', sdk: false } as const
  const toMs = Date.now() - EVERY_MS
  const times = { fromMs: toMs - 72 * HOUR_MS, toMs, everyMs: EVERY_MS, events: EVENTS }
  const encoder = await encoders.otlp({ ...records, epoch: 'old' })
  const backlog = await makeBacklog({ dir: folder.at('loki'), encoder, epoch: 'old', ...times })
  const context = { nodeName: 'node-1', epoch: 'new', encoders, env: {}, log: pino({ level: 'silent' }) }
  const fanOut = await createFanOut(loaded.config.exporters, context)
  const [sender = assert.fail()] = fanOut.senders
  const started = performance.now()
  await fanOut.start()
  await fanOut.publish(Array.from({ length: NEW_EVENTS }, (_, i) => eventAt(backlog + i, Date.now())))
  await waitUntil('nothing is held', () => sender.accounting().heldEvents === 0, DEADLINE_MS)
  const seconds = (performance.now() - started) / 1000
  await fanOut.stop(5000)
  assert.deepEqual(sink.failures, [])
  const stored = loki.entries.map(({ line }) => numberIn(line))
  const { duplicates } = loki
  return { stored, accounting: sender.accounting(), imbalance: sender.imbalance(), backlog, duplicates, seconds }
}

const from = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i)

test('backlog: 72 hours are replayed to Loki in order, followed by the new events, and none is refused', async (t) => {
  const { stored, accounting, imbalance, backlog, duplicates, seconds } = await replay('156h')
  const total = backlog + NEW_EVENTS
  t.diagnostic(`${total} events in ${seconds.toFixed(1)} s`)
  assert.deepEqual(accounting.rejected, {})
  assert.deepEqual(stored, from(0, total))
  assert.deepEqual([imbalance, accounting.accepted, accounting.delivered, duplicates], [0, total, total, 0])
})

test('backlog: with max_age 24h the first 48 hours expire, counted, and the rest is replayed', async (t) => {
  const { stored, accounting, imbalance, backlog, duplicates } = await replay('24h')
  const total = backlog + NEW_EVENTS
  const perHour = (EVENTS * HOUR_MS) / EVERY_MS
  const { expired } = accounting.dropped
  t.diagnostic(`${expired} of ${backlog} expired, which is ${(expired / perHour).toFixed(1)} hours`)
  // Older events expire in whole segments of an hour, including a segment across the limit.
  assert.ok(expired <= 48 * perHour && expired > 46.5 * perHour, `${expired} expired`)
  assert.deepEqual(stored, from(expired, total - expired))
  assert.deepEqual([imbalance, accounting.accepted, accounting.delivered, duplicates], [0, total, total - expired, 0])
  assert.deepEqual(accounting.rejected, {})
})

test('backlog: the test’s Loki refuses old entries after new ones', async () => {
  const loki = new FakeLoki()
  const answers: number[] = []
  await using sink = await FakeSink.start((request) => {
    const answer = loki.script(request)
    answers.push(answer.status)
    return answer
  })
  const loaded = loadConfig(
    `exporters: { loki: { type: otlp, logs_endpoint: "${sink.url}", loki: true, batch: { max_events: 1 } } }\n`,
    'c.yaml',
    {},
    () => '',
  )
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const context = {
    nodeName: 'node-1',
    epoch: 'e',
    encoders: new EncoderPool('node-1'),
    env: {},
    log: pino({ level: 'silent' }),
  }
  const fanOut = await createFanOut(loaded.config.exporters, context)
  await fanOut.start()
  await fanOut.publish([eventAt(1, Date.now())])
  await fanOut.publish([eventAt(0, Date.now() - 2 * HOUR_MS)])
  await fanOut.stop(5000)
  assert.deepEqual(answers, [204, 400])
  assert.deepEqual(fanOut.senders[0]?.accounting().rejected, { too_far_behind: 1 })
})
