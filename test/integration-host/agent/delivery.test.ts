/** From the ring to a sink that is down, across a kill of the agent: the sink gets the same events as the file, in order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ktrail } from '../../e2e/support/agent.ts'
import { LineFile } from '../../e2e/support/line-file.ts'
import { RawAgent } from '../../e2e/support/raw.ts'
import { until } from '../../e2e/support/wait.ts'
import { bodyOf, epochOf } from '../../support/otlp/decode.ts'
import type { LogRecord } from '../../support/otlp/decode.ts'
import { FakeSink, OK } from '../../support/otlp/server.ts'
import { FILE } from '../../support/kernel/functions.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'
import { NODE, place, reads } from './support/place.ts'

const HITS = 2000
const AFTER = 100

/** Events that a sink has accepted, one list for each run of the agent. A file has no run records. */
const runsOf = (records: readonly LogRecord[]): LogRecord[][] => [
  ...Map.groupBy(
    records.filter(({ eventName }) => eventName !== 'ktrail.run'),
    epochOf,
  ).values(),
]

const attributeOf = ({ attributes }: LogRecord, name: string): string | undefined => {
  const value = attributes.find(({ key }) => key === name)?.value
  return value !== undefined && 'stringValue' in value ? value.stringValue : undefined
}

test('agent delivery: a sink that was down gets every event once, in order, even those of a killed agent', async (t) => {
  using folder = new Folder()
  const { events, archive, config } = place(folder)
  const taken: LogRecord[] = []
  let up = false
  await using sink: FakeSink = await FakeSink.start((request) => {
    sink.requests.length = 0
    if (!up) return { status: 503 }
    taken.push(...request.logs().records)
    return OK
  })
  const otlp = {
    type: 'otlp',
    logs_endpoint: sink.url,
    concurrency: { max: 1 },
    retry: { initial: '50ms', max: '500ms' },
    spool: { dir: folder.at('spool'), min_free: '1MiB' },
  }
  const file = config({ exporters: { archive, sink: otlp } })
  const started = async (): Promise<RawAgent> => {
    const agent = new RawAgent(file, { command: NODE })
    await agent.ready()
    return agent
  }

  await using first = await started()
  await first.request(HITS)
  await until('the events in the file', () => reads(events) === HITS, { more: () => first.stderr })
  const lines = new LineFile(events).read().length
  await until('all of it to be in the spool', async () => {
    const metrics = await first.metrics()
    const held = metrics.sum('ktrail_spool_events', { exporter: 'sink' })
    return held === metrics.sum('ktrail_exporter_accepted_events_total', { exporter: 'sink' }) && held >= lines
  })
  assert.equal((await first.metrics()).sum('ktrail_accounting_imbalance_events'), 0)
  assert.equal((await first.page('/readyz')).status, 200)
  assert.deepEqual(await first.end('SIGKILL'), { code: null, signal: 'SIGKILL' })
  const before = new LineFile(events).read().slice()

  up = true
  await using second = await started()
  await second.request(AFTER)
  await until('the events in the file', () => reads(events) === HITS + AFTER)
  const all = (): readonly string[] => new LineFile(events).read()
  await until('the sink to have what both agents saw', () => {
    return (runsOf(taken)[1] ?? []).length >= all().length - before.length
  })
  const [earlier = [], later = []] = runsOf(taken)
  assert.deepEqual(earlier.map(bodyOf), before)
  assert.deepEqual(later.map(bodyOf), all().slice(before.length))
  const metrics = await second.metrics()
  assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
  assert.equal(metrics.sum('ktrail_exporter_dropped_events_total'), 0)
  const accesses = [...earlier, ...later].filter((record) => attributeOf(record, 'file.path') === FILE)
  assert.equal(accesses.length, HITS + AFTER)
  for (const record of accesses) assert.equal(attributeOf(record, 'ktrail.file.access'), 'read')
  t.diagnostic(`${before.length} events over the kill, ${later.length} after it`)
  assert.deepEqual(sink.failures, [])
})

test('agent delivery: a stop with the sink down is fast, reports no loss, and leaves all events in the spool', async () => {
  using folder = new Folder()
  const { events, archive, config } = place(folder)
  await using sink = await FakeSink.start(() => ({ status: 503 }))
  const otlp = { type: 'otlp', logs_endpoint: sink.url, spool: { dir: folder.at('spool'), min_free: '1MiB' } }
  const keys = { exporters: { archive, sink: otlp }, shutdown: { grace: '60s' } }
  await using agent = new RawAgent(config(keys), { command: NODE })
  await agent.ready()
  await agent.request(200)
  await until('the events in the file', () => reads(events) === 200)
  await until('the sink to have been asked', () => sink.requests.length > 0)
  const startMs = performance.now()
  assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null }, agent.stderr)
  const ms = performance.now() - startMs
  assert.ok(ms < 30_000, `took ${ms} ms`)
  const written = new LineFile(events).read().length
  const { stdout, stderr } = await ktrail(['spool', 'ls', folder.at('spool/sink'), '-o', 'json'])
  const [{ events: kept }]: [{ events: number }] = JSON.parse(stdout || assert.fail(stderr))
  assert.ok(kept >= written, `${written} lines in the file, ${kept} events in the spool`)
})
