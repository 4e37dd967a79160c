/**
 * kill -9 under load, repeatedly, on the same folders. Events reported as on the disk or delivered arrive, in order;
 * duplicates had arrived shortly before a kill; the accounting balances in every report; every start succeeds.
 * 10 kills; KTRAIL_LONG=1: 200 (KTRAIL_KILLS), twice as many events, and the real collector before one of the sinks. KTRAIL_SEED chooses the moments.
 * Audits of the sinks find what did not arrive and what arrived again, but for the lost ends of killed runs.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { NO_ORDER } from '../../exporters/audit/audit.ts'
import type { StreamReport } from '../../exporters/audit/audit.ts'
import { Follower } from '../support/delivery/follower.ts'
import { epochOf, killAgain, RUN_NUMBERS } from '../support/delivery/kills.ts'
import { Ledger } from '../support/delivery/ledger.ts'
import type { Span } from '../support/delivery/promise.ts'
import { AuditedRecords } from '../support/otlp/audited.ts'
import { Collector, collectorProgram } from '../support/otlp/collector.ts'
import { seqOf } from '../support/otlp/decode.ts'
import type { LogsRequest } from '../support/otlp/decode.ts'
import { FakeSink, OK } from '../support/otlp/server.ts'
import { LONG } from '../support/long.ts'
import type { Answer, Script } from '../support/otlp/server.ts'
import { Seeded } from '../simulation/spool/random.ts'
import { typed } from '../unit/collector/cli/support/terminal.ts'
import { Folder } from '../unit/exporters/support/folder.ts'

const KILLS = Number(process.env['KTRAIL_KILLS'] || (LONG ? 200 : 10))
const SEED = Number(process.env['KTRAIL_SEED'] || 1)
/** The cursor is stored every 200 ms, if the disk does its syncs at once. */
const MOST_REPEATED_MS = 2000

const KEEPING = {
  always: 'always',
  overflow: 'overflow',
  wide: 'always',
  filed: 'always',
  plain: 'memory',
} as const

const REFUSALS: readonly Answer[] = [
  { status: 503, headers: { 'retry-after': '0.1' } },
  { status: 429 },
  { status: 502 },
  { status: 200, fault: 'reset' },
]

/** An OTLP sink: in each run it is healthy with some refusals, slow, or down. It does not store requests that it refuses. */
class Sink {
  readonly #ledger: Ledger
  readonly #random: Seeded
  readonly audit: AuditedRecords
  mood: 'healthy' | 'slow' | 'down' = 'healthy'

  constructor(ledger: Ledger, seed: number) {
    this.#ledger = ledger
    this.audit = new AuditedRecords(ledger.ordered ? undefined : NO_ORDER)
    this.#random = new Seeded(seed)
  }

  readonly script: Script = async (request) => {
    if (this.mood === 'down') return { status: 503 }
    if (this.#random.chance(0.08)) return this.#random.pick(REFUSALS) ?? OK
    const logs = request.logs()
    this.#ledger.take(runOf(logs), logs.records.map(seqOf))
    this.audit.add(logs.records)
    if (this.mood === 'slow') await pause(50)
    return OK
  }

  turn(last: boolean): void {
    this.mood = last ? 'healthy' : (this.#random.pick(['healthy', 'healthy', 'slow', 'down'] as const) ?? 'healthy')
  }
}

function runOf({ resource }: LogsRequest): number {
  const value = resource.find(({ key }) => key === 'run')?.value
  return Number(value !== undefined && 'stringValue' in value ? value.stringValue : 'none')
}

async function listening({ script }: Sink): Promise<FakeSink> {
  const server: FakeSink = await FakeSink.start((request, call) => {
    // The data is large and no longer needed.
    server.requests.length = 0
    return script(request, call)
  })
  return server
}

test(`kill: ${KILLS} kills under load lose nothing that was on disk, and every start succeeds`, async (t) => {
  using folder = new Folder()
  await using stack = new AsyncDisposableStack()
  const ledgers = new Map(
    Object.keys(KEEPING).map((name) => [name, new Ledger(name, { ordered: name !== 'wide' })] as const),
  )
  const ledgerOf = (name: keyof typeof KEEPING): Ledger => ledgers.get(name) ?? assert.fail(name)
  const sinks = (['always', 'overflow', 'wide'] as const).map((name, i) => new Sink(ledgerOf(name), SEED + i + 1))
  const servers = await Promise.all(sinks.map(async (sink) => stack.use(await listening(sink))))
  const urls = servers.map(({ url }) => url)
  if (LONG) {
    const found = await collectorProgram()
    if ('missing' in found) t.diagnostic(`no collector: ${found.missing}`)
    else urls[0] = stack.use(await Collector.start(found.program, urls[0] ?? '')).url
  }
  const followers = (['filed', 'plain'] as const).map((name) =>
    stack.use(new Follower(folder.at(`${name}.jsonl`), ledgerOf(name))),
  )

  const { published, total, promises, notDurable, early } = await killAgain({
    kills: KILLS,
    seed: SEED,
    eventsPerSecond: LONG ? 2000 : 1000,
    keeping: KEEPING,
    yaml: (run) => yamlOf(run, urls, folder.path),
    before: (run, last) => {
      for (const sink of sinks) sink.turn(last)
      for (const follower of followers) follower.follow(run)
    },
    dead: (run) => {
      for (const ledger of ledgers.values()) ledger.died(run)
      for (const follower of followers) follower.end()
      for (const { failures } of servers) assert.deepEqual(failures, [])
    },
  })

  t.diagnostic(`seed ${SEED}: ${KILLS} kills, ${early} of them before the start had ended; ${total} events`)
  for (const [name, ledger] of ledgers) {
    const lost = published.reduce((sum, { from, to }) => sum + ledger.missing(from, to).length, 0)
    const owed = promises.get(name) ?? []
    const promised = owed.reduce((sum, { from, to }) => sum + Math.max(0, to - from), 0)
    const { distinct, duplicates, oldestRepeatedMs } = ledger
    t.diagnostic(
      `${name}: ${promised} promised, ${distinct} arrived, ${lost} lost (${notDurable.get(name)} were not durable), ` +
        `${duplicates} again, up to ${Math.ceil(oldestRepeatedMs)} ms old`,
    )
    for (const { from, to } of owed)
      assert.deepEqual(ledger.missing(from, to), [], `${name}: reported as stored, but missing`)
    assert.ok(promised > total / 4, `${name}: only ${promised} of ${total} were reported as stored`)
    assert.equal(distinct + lost, total, `${name}: events arrived that were never published`)
    assert.ok(oldestRepeatedMs <= MOST_REPEATED_MS, `${name}: a duplicate was ${oldestRepeatedMs} ms old`)
  }
  const audited = sinks.flatMap(({ audit }) => audit.report())
  for (const name of ['filed', 'plain']) {
    const { code, stdout } = await typed(['audit', folder.at(`${name}.jsonl`), '-o', 'json'])
    assert.equal(code, 1, 'the runs that were killed have no end')
    audited.push(...(JSON.parse(stdout) as { streams: StreamReport[] }).streams)
  }
  assert.deepEqual(audited.map(({ exporter }) => exporter).toSorted(), Object.keys(KEEPING).toSorted())
  for (const { exporter, runs } of audited) {
    const ledger = ledgers.get(exporter) ?? assert.fail(exporter)
    const found = runs.map(({ run, records, untold, told, outOfOrder }) => ({ run, records, untold, told, outOfOrder }))
    assert.deepEqual(
      found,
      published.flatMap((span, run) => auditOf(ledger, run, span)),
      `audit of ${exporter}`,
    )
    const none = { disagreeing: 0, holes: [], afterStop: 0, overcounted: 0 }
    for (const { contradictions } of runs) assert.deepEqual(contradictions, none, `audit of ${exporter}`)
    const twice = runs.reduce((sum, run) => sum + run.twice, 0)
    assert.equal(twice, ledger.duplicates, `audit of ${exporter}: twice`)
    assert.ok(
      runs.every(({ end }, i) => end === 'open' || i === runs.length - 1),
      `audit of ${exporter}`,
    )
  }
  assert.equal(ledgerOf('plain').duplicates, 0, 'without a spool nothing is sent again')
})

/** The audit that a run must have, by the numbers that arrived. No audit sees the end of a run: numbers above the highest that arrived. */
function auditOf(ledger: Ledger, run: number, { from, to }: Span): object[] {
  const lost = ledger.missing(from, to)
  const records = to - from - lost.length
  if (records === 0) return []
  let highest = to - 1
  while (!ledger.has(highest)) highest--
  const untold: Array<{ first: number; last: number }> = []
  for (const number of lost.filter((each) => each < highest).map((each) => each - run * RUN_NUMBERS)) {
    const range = untold.at(-1)
    if (range?.last === number - 1) range.last = number
    else untold.push({ first: number, last: number })
  }
  return [{ run: epochOf(run), records, untold, told: [], outOfOrder: 0 }]
}

function yamlOf(run: number, [always, overflow, wide]: readonly string[], dir: string): string {
  // Every sink answers: a request that times out and is sent again was answered late by a busy machine.
  const chain = 'batch: { max_events: 200, max_wait: 20ms }, retry: { initial: 20ms, max: 200ms }, timeout: 60s'
  const otlp = `type: otlp, compression: none, body: none, request_timeout: 50s, resource_attributes: { run: "${run}" }, ${chain}`
  const spool = `dir: "${dir}/spool", min_free: 0B, max_size: 256MiB, segment_size: 64KiB`
  return `
exporters:
  always: { ${otlp}, logs_endpoint: "${always}", concurrency: { max: 1 }, spool: { use: always, ${spool} } }
  overflow: { ${otlp}, logs_endpoint: "${overflow}", concurrency: { max: 1 }, queue: { max_events: 4000 }, spool: { ${spool} } }
  wide: { ${otlp}, logs_endpoint: "${wide}", spool: { use: always, fsync: batch, ${spool} } }
  filed: { type: file, path: "${dir}/filed.jsonl", envelope: true, rotate: { max_size: 1GiB }, ${chain}, spool: { use: always, ${spool} } }
  plain: { type: file, path: "${dir}/plain.jsonl", envelope: true, rotate: { max_size: 1GiB }, fsync: batch, ${chain} }
`
}
