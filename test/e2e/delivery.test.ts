/** From the kernel to a sink that is down, across a kill of the agent: the sink gets what the file has, in order. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { bodyOf, epochOf } from '../support/otlp/decode.ts'
import type { AnyValue } from '../support/otlp/decode.ts'
import { FakeSink, OK } from '../support/otlp/server.ts'
import { TestAgent, cannotRun, freshFolder, ktrail } from './support/agent.ts'
import { burst, burstBinary, report, target } from './support/faults.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { until } from './support/wait.ts'

const skip = cannotRun()
if (skip !== false) console.log(`delivery: skipped: ${skip}`)

const HITS = 2000
/** While it is 1, the kernel counts runs of BPF programs and their time. */
const STATISTICS = '/proc/sys/kernel/bpf_stats_enabled'

/** JSON lines in the bodies that a sink has taken so far, one list for each run of the agent. A file has no run records. */
function bodies(sink: FakeSink, taken: ReadonlySet<number>): string[][] {
  const records = sink.requests.flatMap((request, i) => (taken.has(i) ? request.logs().records : []))
  const events = records.filter(({ eventName }) => eventName !== 'ktrail.run')
  return [...Map.groupBy(events, epochOf).values()].map((run) => run.map(bodyOf))
}

/** Texts and lists of texts among the attributes of the records about a file. */
function attributesOf(sink: FakeSink, taken: ReadonlySet<number>, file: string): Array<Record<string, unknown>> {
  const text = (value: AnyValue): unknown => ('stringValue' in value ? value.stringValue : undefined)
  return sink.requests
    .flatMap((request, i) => (taken.has(i) ? request.logs().records : []))
    .map(({ attributes }) =>
      Object.fromEntries(
        attributes.map(({ key, value }) => [
          key,
          'arrayValue' in value ? value.arrayValue.values.map(text) : text(value),
        ]),
      ),
    )
    .filter((attributes) => attributes['file.path'] === file)
}

describe('delivery', { skip }, () => {
  it('a sink that was down gets every event once, in order, also those of an agent that was killed', async () => {
    const { folder, file } = target()
    const taken = new Set<number>()
    let up = false
    await using sink = await FakeSink.start((_, call) => {
      if (!up) return { status: 503 }
      taken.add(call)
      return OK
    })
    const spool = freshFolder('spool')
    const otlp = {
      type: 'otlp',
      logs_endpoint: sink.url,
      concurrency: { max: 1 },
      retry: { initial: '50ms', max: '500ms' },
      spool: { dir: spool, min_free: '1MiB' },
    }
    const policies = { 'p.yaml': policy('watched', [fileHook([path('Prefix', folder)])]) }

    await using first = await TestAgent.start({ policies, exporters: { sink: otlp } })
    await burst(['pread', file, HITS, 1])
    await first.settled()
    const lines = first.texts().length
    await first.until('all of it to be in the spool', async () => {
      const metrics = await first.metrics()
      const held = metrics.sum('ktrail_spool_events', { exporter: 'sink' })
      return held === metrics.sum('ktrail_exporter_accepted_events_total', { exporter: 'sink' }) && held >= lines
    })
    assert.equal((await first.metrics()).sum('ktrail_accounting_imbalance_events'), 0)
    assert.equal((await first.get('/readyz')).status, 200)
    // Later events may be in the file and not yet in the spool.
    const expected = first.texts().slice(0, lines)
    assert.ok(expected.length >= HITS)
    await first.kill()

    up = true
    await using second = await TestAgent.start({ policies, exporters: { sink: otlp } })
    writeFileSync(STATISTICS, '1')
    await burst(['pread', file, 100, 1])
    const seen = await second.settled()
    await second.until('the sink to have what both agents saw', () => {
      return (bodies(sink, taken)[1] ?? []).length >= seen
    })
    const [before = [], after = []] = bodies(sink, taken)
    assert.deepEqual(before.slice(0, expected.length), expected)
    assert.deepEqual(after.slice(0, seen), second.texts().slice(0, seen))
    const metrics = await second.metrics()
    assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
    assert.equal(metrics.sum('ktrail_exporter_dropped_events_total'), 0)
    writeFileSync(STATISTICS, '0')
    assert.ok(metrics.sum('ktrail_hook_events_total', { policy: 'watched', hook: 'security_file_permission' }) >= 100)
    assert.equal(metrics.sum('ktrail_kernel_statistics'), 1)
    assert.ok(metrics.sum('ktrail_hook_runs_total', { hook: 'security_file_permission' }) >= 100)
    assert.ok(metrics.sum('ktrail_hook_run_seconds_total', { hook: 'security_file_permission' }) > 0)
    const reads = attributesOf(sink, taken, file).filter((found) => found['ktrail.file.access'] === 'read')
    assert.ok(reads.length >= HITS + 100, `${reads.length} reads`)
    assert.deepEqual(reads[0]?.['process.command_args'], [burstBinary(), 'pread', file, String(HITS), '1'])
    report('delivery', { 'events over the kill': expected.length, after: after.length })
    assert.deepEqual(sink.failures, [])
  })

  it('a stop with the sink down is fast, reports no loss, and leaves all events in the spool', async () => {
    const { folder, file } = target()
    const spool = freshFolder('spool')
    await using sink = await FakeSink.start(() => ({ status: 503 }))
    const otlp = { type: 'otlp', logs_endpoint: sink.url, spool: { dir: spool, min_free: '1MiB' } }
    const agent = await TestAgent.start({
      policies: { 'p.yaml': policy('watched', [fileHook([path('Prefix', folder)])]) },
      exporters: { sink: otlp },
      config: { shutdown: { grace: '60s' } },
    })
    await burst(['pread', file, 200, 1])
    await agent.settled()
    await until('the sink to have been asked', () => sink.requests.length > 0)
    const before = performance.now()
    const { code } = await agent.stop()
    const ms = performance.now() - before
    assert.equal(code, 0)
    assert.ok(ms < 30_000, `took ${ms} ms`)
    const written = agent.texts().length
    const { stdout, stderr } = await ktrail(['spool', 'ls', `${spool}/sink`, '-o', 'json'])
    const [{ events }]: [{ events: number }] = JSON.parse(stdout || assert.fail(stderr))
    assert.ok(events >= written, `${written} lines in the file, ${events} events in the spool`)
  })
})
