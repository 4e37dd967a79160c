/**
 * Reloads under load, with real files and OTLP sinks that fail now and then, and with a real broker: nothing is lost or out of order, an unchanged
 * exporter keeps its connection, descriptors and memory stay flat. KTRAIL_RELOADS: number of reloads, 40 by default, 100 with KTRAIL_LONG=1.
 */
import assert from 'node:assert/strict'
import diagnostics from 'node:diagnostics_channel'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { collectGarbage } from '../../collector/host/heap.ts'
import { withCluster } from '../support/kafka/rig.ts'
import { seqOf } from '../support/otlp/decode.ts'
import { FakeSink, OK } from '../support/otlp/server.ts'
import { LONG } from '../support/long.ts'
import { idsIn, ReloadRig, sum } from '../support/reload/rig.ts'
import type { Sender } from '../../exporters/index.ts'
import { until } from '../unit/exporters/support/fake-clock.ts'
import { Folder } from '../unit/exporters/support/folder.ts'

const RELOADS = Number(process.env['KTRAIL_RELOADS'] ?? (LONG ? 100 : 40))
const EVENTS_EACH = 300
const MOST_HELD = 5 * EVENTS_EACH
const SETTLE_MS = 60_000
/** Limit of an exporter that no reload changes: p99 of the time from an event to its delivery, with sinks and reloads in one process. */
const DELAY_MS = 2000
/** Buffers of the requests, also those of the sinks in this process, are collected late: 50 to 130 MB of them, however long it runs. */
const SLACK_BYTES = 128 << 20

/** Descriptors, and bytes of objects and buffers. The resident set also has memory that the allocator keeps. */
async function used(): Promise<{ readonly files: number; readonly bytes: number }> {
  await collectGarbage()
  // Freed handles are finalized in the next turn.
  await nextTurn()
  await collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return { files: readdirSync('/proc/self/fd').length, bytes: heapUsed + external }
}

/** Delays of events in an exporter, measured once per turn of the event loop. */
class Delays {
  readonly ms: number[] = []
  readonly #sender: Sender
  /** Slices, the oldest first: number of the event after it, and the time of publication. */
  readonly #waiting: Array<readonly [end: number, publishedMs: number]> = []

  constructor(sender: Sender) {
    this.#sender = sender
  }

  published(end: number): void {
    this.#waiting.push([end, performance.now()])
  }

  look(): void {
    const { delivered } = this.#sender.accounting()
    for (let [first] = this.#waiting; first !== undefined && first[0] <= delivered; [first] = this.#waiting) {
      this.ms.push(performance.now() - first[1])
      this.#waiting.shift()
    }
  }

  get p99(): number {
    return this.ms.toSorted((a, b) => a - b)[Math.floor(this.ms.length * 0.99)] ?? Number.NaN
  }
}

/** Publishes until `work` has ended, at least one slice. */
async function publishDuring(rig: ReloadRig, work: Promise<void>, delays: readonly Delays[] = []): Promise<void> {
  const reload = { runs: true }
  const ended = work.finally(() => (reload.runs = false))
  for (let sent = 0; reload.runs || sent < EVENTS_EACH; sent += 50) {
    if (sent < EVENTS_EACH) {
      await rig.publish(50)
      for (const each of delays) each.published(rig.seq)
    }
    rig.check()
    await nextTurn()
    for (const each of delays) each.look()
  }
  await ended
}

test(`reload: ${RELOADS} reloads under load lose nothing, and leave nothing behind`, async (t) => {
  using folder = new Folder()
  await using same = await FakeSink.start()
  let calls = 0
  // Every seventh request fails.
  await using moody = await FakeSink.start(() => (++calls % 7 === 0 ? { status: 503 } : OK))
  const seen: number[] = []
  const script = moody.script
  moody.script = (request, call) => {
    const answer = script(request, call)
    if ('status' in answer && answer.status === 200) seen.push(...request.logs().records.map(seqOf))
    moody.requests.length = 0
    return answer
  }
  const rotate = 'rotate: { max_size: 100GiB }'
  const chain = 'retry: { initial: 10ms, max: 50ms }, concurrency: { max: 1 }'
  const exporters = (i: number, extra = ''): string =>
    [
      `archive: { type: file, path: "${folder.at('archive.jsonl')}", ${rotate} }`,
      `lines: { type: file, path: "${folder.at('lines.jsonl')}", ${rotate}, batch: { max_events: ${100 + (i % 50)} } }`,
      `same: { type: otlp, logs_endpoint: "${same.url}", ${chain} }`,
      `moody: { type: otlp, logs_endpoint: "${moody.url}", ${chain}, batch: { max_events: ${50 + (i % 40)} }, ` +
        `spool: { dir: "${folder.at('spool')}", min_free: 0B, max_size: ${1 + (i % 5)}GiB } }`,
      ...(i % 3 === 0 ? [`guest: { type: file, path: "${folder.at('guest.jsonl')}" }`] : []),
      ...(extra === '' ? [] : [extra]),
    ].join()
  await using rig = await ReloadRig.start(exporters(0))
  const kept = ['archive', 'same'].map((name) => rig.sender(name).exporter)
  const delays = ['archive', 'same'].map((name) => new Delays(rig.sender(name)))
  let before = { files: 0, bytes: 0 }
  let refused = 0
  for (let i = 1; i <= RELOADS; i++) {
    const bad = i % 10 === 0
    const reload = rig.reload(exporters(i, bad ? 'bad: { type: file, path: /proc/nowhere/x }' : ''))
    const tried = bad ? assert.rejects(reload, /exporters\.bad: cannot open/).then(() => void refused++) : reload
    await publishDuring(rig, tried, delays)
    same.requests.length = 0
    // A changed exporter sends nothing while it is reloaded. Without a pause it would never catch up.
    const held = (): number => Math.max(...['lines', 'moody'].map((name) => rig.sender(name).accounting().heldEvents))
    await until('changed exporters have caught up', () => held() < MOST_HELD, SETTLE_MS)
    for (const each of delays) each.look()
    if (i === Math.ceil(RELOADS / 5)) {
      before = await used()
    }
  }
  await rig.reload(exporters(RELOADS - (RELOADS % 3) + 1))
  const names = ['archive', 'lines', 'same', 'moody']
  await until('all is settled', () => names.every((name) => rig.sender(name).accounting().heldEvents === 0), SETTLE_MS)
  const after = await used()
  for (const name of names) {
    const { accepted, delivered, dropped } = rig.sender(name).accounting()
    assert.deepEqual([accepted, delivered, sum(dropped)], [rig.seq, rig.seq, 0], name)
  }
  const first = [...new Set(seen)]
  const got = { archive: idsIn(folder.at('archive.jsonl')), lines: idsIn(folder.at('lines.jsonl')), moody: first }
  // Not deepEqual of the numbers: the difference of two arrays of 300,000 takes all memory.
  for (const [name, ids] of Object.entries(got)) {
    assert.deepEqual([ids.length, ids.findIndex((id, i) => id !== i)], [rig.seq, -1], `${name}: late or missing`)
  }
  assert.deepEqual(
    ['archive', 'same'].map((name) => rig.sender(name).exporter),
    kept,
  )
  assert.equal(same.connections, 1)
  assert.equal(refused, Math.floor(RELOADS / 10))
  const p99 = delays.map((each) => each.p99)
  t.diagnostic(JSON.stringify({ events: rig.seq, repeated: seen.length - first.length, p99, before, after }))
  for (const ms of p99) assert.ok(ms < DELAY_MS, `p99 of an unchanged exporter: ${ms} ms`)
  assert.ok(after.files <= before.files + 5, `descriptors: ${before.files}, then ${after.files}`)
  assert.ok(after.bytes <= before.bytes + SLACK_BYTES, `bytes: ${before.bytes}, then ${after.bytes}`)
})

test('reload: an unchanged Kafka exporter keeps its connections to the broker', async (t) => {
  await withCluster(t, { nodes: 1 }, async (cluster, _jars, topics) => {
    using folder = new Folder()
    await topics.create('events', 1)
    const exporters = (i: number): string =>
      `bus: { type: kafka, brokers: ["${cluster.brokers[0]}"], topic: events }, ` +
      `lines: { type: file, path: "${folder.at('lines.jsonl')}", batch: { max_events: ${100 + i} } }`
    await using rig = await ReloadRig.start(exporters(0))
    await rig.publish(100)
    await until('the broker has them', () => rig.sender('bus').accounting().delivered === 100, 60_000)
    let connections = 0
    const count = (): void => void connections++
    diagnostics.subscribe('net.client.socket', count)
    for (let i = 1; i <= 10; i++) await publishDuring(rig, rig.reload(exporters(i)))
    await until('the broker has all', () => rig.sender('bus').accounting().delivered === rig.seq, 60_000)
    diagnostics.unsubscribe('net.client.socket', count)
    assert.equal(connections, 0)
  })
})
