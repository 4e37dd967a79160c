/** Memory of the process table: whoever forks with a huge argument costs the agent its budget, and no event. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { accessOf, burst, countLines, report, target } from '../support/faults.ts'
import { Sleepers, opened } from '../support/hostile.ts'
import { fileHook, path, policy } from '../support/policy.ts'

const skip = cannotRun()
const CHILDREN = 1_400
const READS = 200
const MIB = 1 << 20
/** Nearly all that the kernel side takes; each byte is six of JSON: \u0001. */
const ARGUMENT = '\x01'.repeat(16_300)

const rss = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024

test('forks with a huge argument that read once and sleep cost a bounded table and no event', { skip }, async () => {
  const { folder, file } = target()
  opened(folder)
  await using agent = await TestAgent.start({
    policies: { 'p.yaml': policy('watched', [fileHook([path('Prefix', folder)])]) },
    // What the renderings of all children take is more than there is between rest and the hard limit.
    config: { memory: { soft_limit: '190MiB', hard_limit: '200MiB', process_table: '32MiB' } },
  })
  await agent.settled()
  const rest = rss(agent.pid)
  await using sleepers = await Sleepers.start(CHILDREN, file, ARGUMENT)
  assert.ok(sleepers.pid > 0)
  await agent.settled()
  const held = rss(agent.pid)
  await burst(['pread', file, READS, 1])
  await agent.settled()
  const reads = countLines(`${agent.folder}/events.jsonl`, accessOf(file))
  const metrics = await agent.metrics()
  report('a table under attack', {
    children: CHILDREN,
    reads,
    'RSS at rest, MiB': rest / MIB,
    'RSS while they sleep, MiB': held / MIB,
    dropped: metrics.sum('ktrail_exporter_dropped_events_total'),
  })
  assert.equal(metrics.sum('ktrail_exporter_dropped_events_total'), 0)
  assert.equal(reads, CHILDREN + READS)
  const bytes = metrics.sum('ktrail_process_table_bytes')
  assert.ok(bytes > 10 * MIB && bytes <= 32 * MIB, `${bytes}`)
  assert.ok(metrics.sum('ktrail_process_table_evictions_total', { kind: 'renderings' }) > 0)
  assert.equal(metrics.sum('ktrail_process_table_evictions_total', { kind: 'images' }), 0)
})
