/**
 * kill -9 under load with a real broker: events that were on the disk are in the topic, in order, with few duplicates.
 * 100 kills (KTRAIL_KILLS); runs only with KTRAIL_LONG=1.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StreamReport } from '../../../exporters/audit/audit.ts'
import { killAgain, RUN_NUMBERS } from '../../support/delivery/kills.ts'
import { readTopic } from '../../support/kafka/read-topic.ts'
import { numberOf } from '../../support/kafka/reconcile.ts'
import { withCluster } from '../../support/kafka/rig.ts'
import { SKIP_LONG } from '../../support/long.ts'
import { sumOf } from '../../support/otlp/audited.ts'
import { typed } from '../../unit/collector/cli/support/terminal.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'

const KILLS = Number(process.env['KTRAIL_KILLS'] || 100)
const SEED = Number(process.env['KTRAIL_SEED'] || 1)
const EVENTS_PER_SECOND = 1000
/** Duplicates are bounded by the cursor, which is stored every 200 ms, and the in-flight batch; a backlog is sent faster than it was published. */
const MOST_REPEATED = 2 * EVENTS_PER_SECOND

test('kill: kills while sending to a real broker lose nothing that was on disk', { skip: SKIP_LONG }, async (t) => {
  await withCluster(t, { nodes: 1 }, async (cluster, jars, topics) => {
    using folder = new Folder()
    await topics.create('events', 1)
    const { published, total, promises, notDurable, early } = await killAgain({
      kills: KILLS,
      seed: SEED,
      eventsPerSecond: EVENTS_PER_SECOND,
      keeping: { bus: 'always' },
      yaml: () => `
exporters:
  bus:
    { type: kafka, brokers: ["${cluster.brokers[0]}"], topic: events, batch: { max_events: 200, max_wait: 20ms },
      retry: { initial: 50ms, max: 500ms }, spool: { use: always, dir: "${folder.path}", min_free: 0B, segment_size: 64KiB } }
`,
      before: () => undefined,
      dead: () => undefined,
    })
    const records = await readTopic(jars, cluster.brokers, 'events')
    const seen = new Set<number>()
    const again = new Map<number, number>()
    let youngest = -1
    for (const record of records) {
      const { seq } = numberOf(record)
      const run = Math.floor(seq / RUN_NUMBERS)
      if (seen.has(seq)) again.set(run, (again.get(run) ?? 0) + 1)
      else assert.ok(seq > youngest, `${seq} came for the first time after ${youngest}`)
      youngest = Math.max(youngest, seq)
      seen.add(seq)
    }
    const owed = (promises.get('bus') ?? []).flatMap(({ from, to }) => numbersOf(from, to))
    const lost = published.flatMap(({ from, to }) => numbersOf(from, to)).filter((seq) => !seen.has(seq))
    const most = Math.max(0, ...again.values())
    t.diagnostic(
      `seed ${SEED}: ${KILLS} kills, ${early} of them before the start had ended; ${total} events, ${owed.length} promised, ` +
        `${lost.length} lost (${notDurable.get('bus')} were not durable), ${records.length - seen.size} again, at most ${most} of one run`,
    )
    assert.deepEqual(
      owed.filter((seq) => !seen.has(seq)),
      [],
      'reported as stored, but missing',
    )
    assert.ok(owed.length > total / 4, 'too few events were on the disk')
    assert.equal(seen.size + lost.length, total, 'events arrived that were never published')
    const audited = await typed(['audit', `kafka://${cluster.brokers.join(',')}/events`, '-o', 'json'])
    const { streams } = JSON.parse(audited.stdout) as { streams: StreamReport[] }
    // The numbers of a run follow each other in the topic. For lost events, an audit sees only that killed runs have no end.
    const { untold, twice, ...found } = sumOf(streams)
    assert.deepEqual([audited.code, untold, found.records, twice], [1, [], seen.size, records.length - seen.size])
    assert.ok(most <= MOST_REPEATED, `${most} of one run arrived again`)
  })
})

function numbersOf(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i)
}
