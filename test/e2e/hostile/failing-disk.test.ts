/**
 * The block device under the agent's files (a file, a spool, dead letters, its state) fails each read and write, then works
 * again. The file is complete, each event of the spool is delivered or counted, and the log names each failure.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { memoryOf } from '../../support/memory.ts'
import { bodyOf, seqOf } from '../../support/otlp/decode.ts'
import { FakeSink, OK, rpcStatus } from '../../support/otlp/server.ts'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { FailingDevice } from './support/failing-device.ts'
import { accessOf, audited, balanced, burst, countLines, report, target } from '../support/faults.ts'
import { LineFile } from '../support/line-file.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { livez } from './support/livez.ts'

const skip = cannotRun()
const READS = 200
/** With `use: always`, the exporter reads each event back from the device. */
const WAITING = 500
/** An exporter goes into `hold` after eight refusals in a row. */
const REFUSED = 5
/** V8 collects only worthwhile amounts; see support/flood.ts. */
const REST_SLACK_BYTES = 12 << 20

test(
  'a block device that fails and works again loses no event of a file, and counts those of a spool',
  { skip },
  async () => {
    using device = new FailingDevice()
    const at = (name: string): string => join(device.path, name)
    const good = target()
    const bad = target()
    let up = true
    const delivered = new Set<number>()
    await using sink: FakeSink = await FakeSink.start((request) => {
      sink.requests.length = 0
      if (!up) return { status: 503 }
      const { records } = request.logs()
      if (records.some((record) => bodyOf(record).includes(accessOf(bad.file))))
        return { status: 400, body: rpcStatus('refused by the test') }
      for (const record of records) delivered.add(seqOf(record))
      return OK
    })
    const retry = { initial: '50ms', max: '200ms' }
    // Memory has eight batches; the others are only on the device.
    const batch = { max_events: 10, max_wait: '20ms' }
    const sent = {
      type: 'otlp',
      logs_endpoint: sink.url,
      concurrency: { max: 1 },
      spool: { dir: at('spool'), min_free: '0B', use: 'always', fsync: '50ms', compression: 'none' },
      dead_letter: { path: at('dead.jsonl') },
    }
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('watched', [fileHook([path('Prefix', good.folder, bad.folder)])]) },
      exporters: {
        filed: { type: 'file', path: at('filed.jsonl'), fsync: 'batch', retry },
        sent: { ...sent, retry, batch },
      },
      config: { state_dir: at('state'), heartbeat: '5s' },
    })
    const reads = (file: string, count: number): Promise<unknown> => burst(['pread', file, count, 1])
    const filed = (): number => countLines(at('filed.jsonl'), accessOf(good.file))
    const count = async (name: string, labels: object = {}): Promise<number> =>
      (await agent.metrics()).sum(`ktrail_${name}`, { exporter: 'sent', ...labels })
    const logged = (text: string): Promise<unknown> =>
      agent.until(`the log to have "${text}"`, () => agent.log().some(({ msg }) => msg?.includes(text)))

    await reads(good.file, READS)
    await agent.until('the first reads', async () => filed() === READS && (await count('exporter_held_events')) === 0)
    const restBytes = memoryOf(agent.pid).privateBytes
    up = false
    await reads(good.file, WAITING)
    await agent.settled()
    await agent.until('events that are only on the device', async () => {
      return (await count('spool_events')) > WAITING && (await count('spool_unsafe_events')) === 0
    })

    const segments = globSync(join(at('spool'), '**/*.seg'))
    assert.notDeepEqual(segments, [])
    device.fail(segments)
    await reads(good.file, READS)
    await reads(bad.file, REFUSED)
    await logged('the device failed (EIO)')
    const config = join(agent.folder, 'config.yaml')
    const written = JSON.parse(readFileSync(config, 'utf8'))
    written.exporters.later = { type: 'file', path: join(agent.folder, 'later.jsonl'), envelope: true }
    writeFileSync(config, JSON.stringify(written))
    process.kill(agent.pid, 'SIGHUP')
    await logged('cannot write the last runs')
    up = true
    await agent.until('reads of the spool to fail', async () => (await count('exporter_dropped_events_total')) > 0)
    const longestMs = await livez(agent)

    device.heal()
    await reads(good.file, READS)
    await agent.settled()
    await agent.until('all reads in the file', () => filed() === 3 * READS + WAITING)
    const dead = (): number => countLines(at('dead.jsonl'), '"exporter":"sent"')
    await agent.until('nothing to be held', async () => (await count('exporter_held_events')) === 0)
    await agent.until('the last run of the new exporter', () =>
      readFileSync(at('state/runs.json'), 'utf8').includes('later'),
    )
    await audited(agent)
    await balanced(agent)
    let metrics = await agent.metrics()
    const sum = (name: string, labels: object = {}): number =>
      metrics.sum(`ktrail_${name}`, { exporter: 'sent', ...labels })
    // A heartbeat may be on its way to the sink.
    await agent.until('a page that counts each event at the sink, and holds none', async () => {
      metrics = await agent.metrics()
      return sum('exporter_held_events') === 0 && sum('exporter_delivered_events_total') === delivered.size
    })
    const accepted = sum('exporter_accepted_events_total')
    const dropped = sum('exporter_dropped_events_total')
    const nowBytes = memoryOf(agent.pid).privateBytes
    report('a device that failed', {
      'accepted by the exporter with the spool': accepted,
      dropped,
      'of them unreadable': sum('exporter_dropped_events_total', { reason: 'corrupt' }),
      'at its sink': delivered.size,
      'dead letters': dead(),
      'answer of /livez, ms': longestMs,
      'private MiB before and after': `${restBytes >> 20} ${nowBytes >> 20}`,
    })
    assert.equal(accepted, delivered.size + dropped + sum('exporter_rejected_events_total'))
    assert.equal(dead() + sum('exporter_dropped_events_total', { reason: 'dead_letter_failed' }), REFUSED)
    assert.equal(metrics.sum('ktrail_exporter_dropped_events_total', { exporter: 'filed' }), 0)
    assert.ok(nowBytes <= 1.2 * restBytes + REST_SLACK_BYTES, `${restBytes} bytes before, ${nowBytes} after`)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    assert.deepEqual(new LineFile(at('filed.jsonl')).read(), agent.texts())
    assert.deepEqual(readdirSync(device.path).toSorted(), ['dead.jsonl', 'filed.jsonl', 'lost+found', 'spool', 'state'])
  },
)
