/**
 * A sink goes down in each possible way, under load, and returns. With a spool nothing is lost and the order is kept; only
 * events that the sink rejects are dropped. The state is reported, other exporters are not affected, and an audit agrees.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NO_ORDER } from '../../exporters/audit/audit.ts'
import { AgentProcess, waitUntil } from '../support/delivery/child.ts'
import { numbersIn } from '../support/delivery/events.ts'
import { Ledger } from '../support/delivery/ledger.ts'
import { Pulled } from '../support/delivery/pulled.ts'
import type { Absence } from '../support/delivery/pulled.ts'
import type { ExporterReport } from '../support/delivery/protocol.ts'
import { AuditedRecords, sumOf } from '../support/otlp/audited.ts'
import { Collector, collectorProgram } from '../support/otlp/collector.ts'
import { seqOf } from '../support/otlp/decode.ts'
import { LONG } from '../support/long.ts'
import { FakeSink, OK, partialSuccess, rpcStatus } from '../support/otlp/server.ts'
import { typed } from '../unit/collector/cli/support/terminal.ts'
import { Folder } from '../unit/exporters/support/folder.ts'

const EVENTS_PER_SECOND = LONG ? 2000 : 1000
/** Published while the sink is down. */
const AWAY_EVENTS = 1.5 * EVENTS_PER_SECOND
const DEADLINE_MS = 30_000
/** Events of a second: an exporter that holds no more has caught up. */
const IN_HAND = EVENTS_PER_SECOND

/** The ways in which a sink is down, and the state that the exporter then reports. */
interface Way extends Absence {
  readonly name: string
  readonly state: ExporterReport['accounting']['state']
  readonly error: RegExp
}

const WAYS: readonly Way[] = [
  { name: 'refuses connections', state: 'retrying', error: /ECONNREFUSED/, port: 'closed' },
  { name: 'accepts connections and never answers', state: 'retrying', error: /500 ms/, port: 'silent' },
  {
    name: 'answers 503 with Retry-After',
    state: 'retrying',
    error: /answered 503/,
    answer: { status: 503, headers: { 'retry-after': '0.3' } },
  },
  { name: 'answers 429', state: 'retrying', error: /answered 429/, answer: { status: 429 } },
  {
    name: 'breaks off',
    state: 'retrying',
    error: /ECONNRESET|hang up|closed/,
    answer: { status: 200, fault: 'reset' },
  },
  { name: 'answers 401', state: 'hold', error: /answered 401.*check the credentials/, answer: { status: 401 } },
]

test('outage: after each kind of outage a sink gets everything in order, and no other exporter waits', async (t) => {
  using folder = new Folder()
  await using pulled = await Pulled.start()
  const other = new Ledger('other', { ordered: true })
  await using otherSink: FakeSink = await FakeSink.start((request) => {
    otherSink.requests.length = 0
    other.take(0, request.logs().records.map(seqOf))
    return OK
  })
  await using agent = new AgentProcess({
    yaml: yamlOf(folder, { pulled: pulled.url, other: otherSink.url }),
    epoch: 'e',
    eventsPerSecond: EVENTS_PER_SECOND,
  })
  await agent.whenStarted()
  const now = (): ExporterReport => agent.latest?.exporters['pulled'] ?? assert.fail('no report yet')
  const until = (what: string, condition: () => boolean): Promise<void> =>
    agent.until(what, () => agent.latest !== undefined && condition(), DEADLINE_MS)
  const deliveredBy = (name: string): number => agent.latest?.exporters[name]?.accounting.delivered ?? 0
  const healthy = (): boolean => now().accounting.state === 'healthy' && now().accounting.heldEvents < IN_HAND
  await until('some are delivered', () => now().accounting.delivered > 500)
  for (const way of WAYS) {
    const { to = 0 } = agent.latest ?? {}
    const { spool: disk } = now()
    await pulled.pull(way)
    await until(`it shows that its sink ${way.name}`, () => now().accounting.state === way.state)
    const { delivered } = now().accounting
    for (const name of ['other', 'filed'])
      await until(`exporter "${name}" delivers meanwhile`, () => deliveredBy(name) > to + AWAY_EVENTS)
    const { accounting, spool } = now()
    assert.deepEqual([accounting.state, way.error.test(accounting.lastError)], [way.state, true], accounting.lastError)
    assert.equal(accounting.delivered, delivered, 'delivered although the sink is down')
    const spooled = (spool?.end ?? 0) - (disk?.end ?? 0)
    assert.ok(spooled > AWAY_EVENTS / 2, `${spooled} written to the disk`)
    await pulled.back()
    const backMs = performance.now()
    await until(`a sink that ${way.name} is back`, healthy)
    const ms = Math.round(performance.now() - backMs)
    t.diagnostic(`${way.name}: ${accounting.heldEvents} held, caught up ${ms} ms after the return`)
  }
  agent.rate(0)
  await until('all is delivered', () => now().accounting.heldEvents === 0)
  const total = agent.publishing
  const stopped = await agent.stop(5000)
  for (const name of ['pulled', 'other', 'filed']) complete(stopped[name], total)
  for (const ledger of [pulled.ledger, other]) assert.deepEqual([ledger.distinct, ledger.duplicates], [total, 0])
  assert.deepEqual(numbersIn(folder.read('filed.jsonl')), [...Array(total).keys()])
  const { stdout } = await typed(['audit', folder.at('filed.jsonl'), '-o', 'json'])
  const whole = { records: total, untold: [], twice: 0, outOfOrder: 0 }
  assert.deepEqual([sumOf(pulled.audit.report()), sumOf(JSON.parse(stdout).streams)], [whole, whole])
  t.diagnostic(`${total} events to each`)
})

test('outage: each event that a sink rejects is counted, and the others arrive in order', async (t) => {
  using folder = new Folder()
  const ledger = new Ledger('refusing', { ordered: true })
  const refused = new Set<number>()
  /** This sink rejects each 97th event; the kind of answer changes. */
  const bad = (seq: number): boolean => seq % 97 === 0
  let how: 'partial' | '400' = 'partial'
  const audit = new AuditedRecords()
  await using sink: FakeSink = await FakeSink.start((request) => {
    sink.requests.length = 0
    const { records } = request.logs()
    const numbers = records.map(seqOf)
    const worst = numbers.filter(bad)
    if (worst.length > 0 && how === '400') {
      if (numbers.length === 1) refused.add(numbers[0] ?? -1)
      return { status: 400, body: rpcStatus('malformed record') }
    }
    for (const seq of worst) refused.add(seq)
    const good = records.filter((record) => !bad(seqOf(record)))
    ledger.take(0, good.map(seqOf))
    audit.add(good)
    return worst.length === 0 ? OK : { status: 200, body: partialSuccess(worst.length, 'not liked') }
  })
  await using agent = new AgentProcess({
    yaml: yamlOf(folder, { pulled: sink.url }),
    epoch: 'e',
    eventsPerSecond: EVENTS_PER_SECOND,
  })
  await agent.whenStarted()
  const now = (): ExporterReport => agent.latest?.exporters['pulled'] ?? assert.fail('no report yet')
  await agent.until('some are refused', () => refused.size > 20, DEADLINE_MS)
  const partial = refused.size
  how = '400'
  await agent.until('some are refused one by one', () => refused.size > partial + 20, DEADLINE_MS)
  agent.rate(0)
  await agent.until('nothing is held', () => now().accounting.heldEvents === 0, DEADLINE_MS)
  const total = agent.publishing
  const { accounting, imbalance } = (await agent.stop(5000))['pulled'] ?? assert.fail()
  t.diagnostic(`${total} events, ${JSON.stringify(accounting.rejected)} refused`)
  assert.deepEqual([imbalance, accounting.accepted, accounting.delivered], [0, total, total - refused.size])
  assert.equal(
    Object.values(accounting.rejected).reduce((sum, events) => sum + events, 0),
    refused.size,
  )
  assert.equal(Object.keys(accounting.rejected).length, 2, JSON.stringify(accounting.rejected))
  const missing = [...refused].toSorted((a, b) => a - b)
  assert.deepEqual(ledger.missing(0, total), missing)
  // An audit cannot see numbers above the highest one that arrived.
  const seen = missing.filter((seq) => seq < total - 1)
  assert.deepEqual(sumOf(audit.report()), { records: total - refused.size, untold: seen, twice: 0, outOfOrder: 0 })
  assert.deepEqual([ledger.duplicates, sink.failures], [0, []])
})

test('outage: a real collector paused, killed and restarted under load loses nothing', async (t) => {
  const found = await collectorProgram()
  if ('missing' in found) return t.skip(found.missing)
  using folder = new Folder()
  const seen = new Set<number>()
  let again = 0
  const audit = new AuditedRecords(NO_ORDER)
  await using sink: FakeSink = await FakeSink.start((request) => {
    sink.requests.length = 0
    const { records } = request.logs()
    audit.add(records)
    for (const seq of records.map(seqOf)) {
      if (seen.has(seq)) again++
      seen.add(seq)
    }
    return OK
  })
  await using collector = await Collector.start(found.program, sink.url)
  await using agent = new AgentProcess({
    yaml: yamlOf(folder, { pulled: collector.url }),
    epoch: 'e',
    eventsPerSecond: EVENTS_PER_SECOND,
  })
  await agent.whenStarted()
  const now = (): ExporterReport => agent.latest?.exporters['pulled'] ?? assert.fail('no report yet')
  const away = async (what: string, pull: () => unknown, back: () => unknown): Promise<void> => {
    const before = agent.publishing
    await pull()
    await agent.until('the exporter notices', () => now().accounting.state === 'retrying', DEADLINE_MS)
    await agent.until('enough is published', () => agent.publishing > before + AWAY_EVENTS, DEADLINE_MS)
    const { heldEvents, lastError } = now().accounting
    assert.ok(heldEvents > AWAY_EVENTS / 2, `${heldEvents} held`)
    await back()
    await agent.until('it has caught up', () => now().accounting.heldEvents < IN_HAND, DEADLINE_MS)
    t.diagnostic(`${what}: ${heldEvents} held (${lastError})`)
  }
  await agent.until(
    'some are delivered',
    () => agent.latest !== undefined && now().accounting.delivered > 500,
    DEADLINE_MS,
  )
  await away(
    'paused',
    () => collector.pause(),
    () => collector.resume(),
  )
  await away(
    'killed',
    () => collector.kill(),
    () => collector.start(),
  )
  agent.rate(0)
  await agent.until('nothing is held', () => now().accounting.heldEvents === 0, DEADLINE_MS)
  const total = agent.publishing
  complete((await agent.stop(5000))['pulled'], total)
  // A paused collector may deliver the events that it had accepted after the exporter has given it up.
  await waitUntil('all has arrived', () => seen.size === total, DEADLINE_MS)
  t.diagnostic(`${total} events, ${again} twice`)
  assert.deepEqual(sumOf(audit.report()), { records: total, untold: [], twice: again, outOfOrder: 0 })
})

function complete(report: ExporterReport | undefined, total: number): void {
  const { accounting, imbalance } = report ?? assert.fail('no report')
  assert.deepEqual(
    [imbalance, accounting.accepted, accounting.delivered],
    [0, total, total],
    JSON.stringify(accounting),
  )
}

function yamlOf(folder: Folder, urls: { readonly pulled: string; readonly other?: string }): string {
  const chain = 'batch: { max_events: 200, max_wait: 20ms }, retry: { initial: 20ms, max: 200ms }, timeout: 5s'
  const otlp = `type: otlp, compression: none, body: none, request_timeout: 500ms, concurrency: { max: 1 }, ${chain}`
  const spool = `spool: { dir: "${folder.at('spool')}", min_free: 0B, max_size: 256MiB }`
  const others =
    urls.other === undefined
      ? ''
      : `
  other: { ${otlp}, logs_endpoint: "${urls.other}" }
  filed: { type: file, path: "${folder.at('filed.jsonl')}", envelope: true, rotate: { max_size: 1GiB }, ${chain} }`
  return `
exporters:
  pulled: { ${otlp}, logs_endpoint: "${urls.pulled}", ${spool} }${others}
`
}
