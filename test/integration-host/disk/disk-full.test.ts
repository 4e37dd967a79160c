/**
 * A spool on a disk of four megabytes, while the sink is down and while other programs fill the disk. Events without space are
 * counted, kept ones arrive in order, memory is used meanwhile, and the spool again once there is space. The disk is a tmpfs
 * in a mount namespace: without the right to make one the test is skipped.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentProcess } from '../../support/delivery/child.ts'
import { Ledger } from '../../support/delivery/ledger.ts'
import type { ExporterReport } from '../../support/delivery/protocol.ts'
import { SmallDisk, smallDisk } from '../../support/delivery/small-disk.ts'
import { seqOf } from '../../support/otlp/decode.ts'
import { FakeSink, OK } from '../../support/otlp/server.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'
import { NOTHING_DROPPED } from '../../../exporters/buffer/counters.ts'

const DISK_MIB = 4
/** While the sink is down. */
const FAST = 5000
/** While the sink is up: a busy machine has to catch up too. */
const SLOW = 1000
const QUEUE_EVENTS = 2000
const DEADLINE_MS = 30_000
const MIB = 1 << 20
/** Two segments, the one being read (its blocks come back when it is closed) and the one being written. */
const SLACK = 768 << 10

const CASES = [
  { name: 'overflow, to the last byte', use: 'overflow', minFree: 0 },
  { name: 'always, to the last byte', use: 'always', minFree: 0 },
  { name: 'overflow, with a reserve of 1 MiB', use: 'overflow', minFree: MIB },
] as const

for (const { name, use, minFree } of CASES) {
  test(`disk full: ${name}`, async (t) => {
    using folder = new Folder()
    const disk = await smallDisk(DISK_MIB, folder.path)
    if ('missing' in disk) return t.skip(disk.missing)
    const ledger = new Ledger('sink', { ordered: true })
    let away = false
    await using sink: FakeSink = await FakeSink.start((request) => {
      // The data is large and no longer needed.
      sink.requests.length = 0
      if (away) return { status: 503 }
      ledger.take(0, request.logs().records.map(seqOf))
      return OK
    })
    await using agent = new AgentProcess({
      yaml: yamlOf(sink.url, folder.path, use, minFree),
      epoch: 'e',
      eventsPerSecond: SLOW,
      wrapper: disk.wrapper,
    })
    const { settled: nothing } = spoolOf((await agent.whenStarted())['sink'])
    assert.equal(nothing, 0)
    const small = new SmallDisk(agent.pid, folder.path)
    const now = (): ExporterReport => agent.latest?.exporters['sink'] ?? assert.fail('no report yet')
    // A slow disk fills the memory too, such as on a machine that stops for some tenths of a second.
    const lostOf = ({ dropped: { spool_full, queue_full } }: ExporterReport['accounting']): number =>
      spool_full + queue_full
    const dropped = (): number => lostOf(now().accounting)
    const until = (what: string, condition: () => boolean): Promise<void> =>
      agent.until(what, () => agent.latest !== undefined && condition(), DEADLINE_MS)
    const oneMore = async (what: string, count: () => number, by: number): Promise<void> => {
      const before = count()
      await until(what, () => count() >= before + by)
    }
    const delivered = (): number => now().accounting.delivered
    const sinkLeaves = (): void => {
      away = true
      agent.rate(FAST)
    }
    const sinkReturns = async (): Promise<void> => {
      away = false
      agent.rate(SLOW)
      await until('what is held is delivered', () => now().accounting.heldEvents < 1000)
    }
    await until('some are delivered', () => delivered() > 500)
    assert.equal(dropped(), 0)

    sinkLeaves()
    await until('the spool has filled its disk', () => dropped() > 500)
    assert.equal(now().accounting.state, 'retrying')
    assert.ok(small.freeBytes < minFree + SLACK, `${small.freeBytes} bytes are free`)
    assert.ok(small.freeBytes >= minFree - SLACK, `${small.freeBytes} bytes are left of the reserve`)
    // With a reserve the oldest events on the disk are dropped; a full disk keeps them, and new events stay in memory.
    if (minFree === 0) assert.ok(now().accounting.queueEvents > QUEUE_EVENTS / 2, 'memory is not used')
    const firstDrops = dropped()
    await sinkReturns()
    if (use === 'overflow') await until('all goes by memory again', () => spoolOf(now()).settled === spoolOf(now()).end)

    small.fill()
    // This process is the sink too, and accepted nothing meanwhile.
    await oneMore('the sink goes on', delivered, 500)
    const drops = dropped()
    await oneMore('events pass by memory while others fill the disk', delivered, 2000)
    assert.equal(dropped(), drops, 'a full disk costs events although the sink takes them')
    // The other programs take the space that the spool has freed meanwhile as well.
    small.fill()
    sinkLeaves()
    await oneMore('memory is full too', dropped, 500)
    await sinkReturns()
    await until('what was spent is gone', () => spoolOf(now()).segments <= 1)

    sinkLeaves()
    small.free()
    const appended = (): number => spoolOf(now()).appended
    await oneMore('the spool is used again', appended, 1000)
    await sinkReturns()
    agent.rate(0)
    await until('nothing is held', () => now().accounting.heldEvents === 0)
    const { accounting, imbalance } = (await agent.stop(5000))['sink'] ?? assert.fail()
    const { accepted, rejected } = accounting
    t.diagnostic(
      `${accepted} events, ${accounting.delivered} delivered, ${accounting.dropped.spool_full} dropped as spool_full, ${accounting.dropped.queue_full} as queue_full ` +
        `(${firstDrops} before the sink came back), ${ledger.duplicates} twice`,
    )
    assert.deepEqual([imbalance, accepted, rejected], [0, agent.publishing, {}])
    assert.deepEqual({ ...accounting.dropped, spool_full: 0, queue_full: 0 }, NOTHING_DROPPED)
    assert.equal(ledger.distinct, accounting.delivered)
    assert.equal(ledger.missing(0, accepted).length, lostOf(accounting))
    assert.deepEqual([ledger.duplicates, sink.failures], [0, []])
  })
}

function spoolOf(report: ExporterReport | undefined): NonNullable<ExporterReport['spool']> {
  return report?.spool ?? assert.fail('no spool')
}

function yamlOf(url: string, dir: string, use: string, minFree: number): string {
  const chain = `batch: { max_events: 500, max_wait: 20ms }, queue: { max_events: ${QUEUE_EVENTS} }, retry: { initial: 20ms, max: 200ms }`
  const spool = `{ use: ${use}, compression: none, dir: "${dir}", min_free: ${minFree}B, max_size: 64MiB, segment_size: 256KiB, fsync: 50ms }`
  const otlp = `type: otlp, logs_endpoint: "${url}", compression: none, body: none, concurrency: { max: 1 }`
  return `exporters: { sink: { ${otlp}, ${chain}, spool: ${spool} } }\n`
}
