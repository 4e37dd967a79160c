/** Memory of the process table: many forks with a huge argument cost the agent bounded memory and no event. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { memoryOf } from '../../support/memory.ts'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { burst, report, target } from '../support/faults.ts'
import { Sleepers, opened } from '../support/hostile.ts'
import { fileHook, path, policy } from '../support/policy.ts'

const skip = cannotRun()
const CHILDREN = 1_000
const READS = 200
const MIB = 1 << 20
const DROPPED = 'ktrail_exporter_dropped_events_total'
/** Nearly the maximum of the kernel side; each byte is six in JSON: \u0001. */
const ARGUMENT = '\x01'.repeat(16_300)

test('forks with a huge argument that read once and sleep cost a bounded table and no event', { skip }, async () => {
  const { folder, file } = target()
  opened(folder)
  await using agent = await TestAgent.start({
    policies: { 'p.yaml': policy('watched', [fileHook([path('Prefix', folder)])]) },
    // The rendered processes of all children are larger than the memory between idle and the hard limit.
    config: { memory: { soft_limit: '195MiB', hard_limit: '200MiB', process_table: '16MiB' } },
  })
  await agent.settled()
  const rest = memoryOf(agent.pid)
  await using sleepers = await Sleepers.start(CHILDREN, file, ARGUMENT)
  assert.ok(sleepers.pid > 0)
  /** The agent checks its memory every two seconds and drops new events until a check passes. */
  const short = (): boolean => {
    const last = agent.log().findLast(({ msg }) => msg?.startsWith('memory is '))
    return last !== undefined && last.msg !== 'memory is below its limits again'
  }
  // While 100 MB of their events are in the pipeline a slow disk may fill the queue, which is counted. Only later events matter.
  await agent.until('the events of all children to be written or counted, and memory as before', async () => {
    // A page that takes the busy agent longer than a connection may last is requested again.
    const now = await agent.metrics().catch(() => undefined)
    if (now === undefined || now.sum('ktrail_events_read_total', { type: 'process_kprobe' }) < CHILDREN) return false
    const settled = now.sum('ktrail_exporter_held_events') === 0 && !short()
    return settled && memoryOf(agent.pid).privateBytes < 110 * MIB
  })
  await agent.settled()
  const before = await agent.metrics()
  const asleep = memoryOf(agent.pid)
  const lines = await agent.during(() => burst(['pread', file, READS, 1]))
  const reads = lines.filter((line) => line.process_kprobe !== undefined).length
  const metrics = await agent.metrics()
  const dropped = metrics.sum(DROPPED) - before.sum(DROPPED)
  report('a table under attack', {
    children: CHILDREN,
    'RSS at rest, MiB': rest.residentBytes / MIB,
    'of it private': rest.privateBytes / MIB,
    'RSS while they sleep, MiB': asleep.residentBytes / MIB,
    'private while they sleep': asleep.privateBytes / MIB,
    'of the next reads': READS,
    'in the file': reads,
    dropped,
  })
  assert.equal(reads, READS)
  assert.equal(dropped, 0)
  const bytes = metrics.sum('ktrail_process_table_bytes')
  assert.ok(bytes > 4 * MIB && bytes <= 16 * MIB, `${bytes}`)
  assert.ok(metrics.sum('ktrail_process_table_evictions_total', { kind: 'renderings' }) > 0)
  assert.equal(metrics.sum('ktrail_process_table_evictions_total', { kind: 'images' }), 0)
})
