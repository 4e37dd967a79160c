/** As many hits as the guest can make, as fast as it can: every hit is in the file, and the accounting balances. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { TestAgent, cannotRun } from './support/agent.ts'
import { accessOf, audited, balanced, burst, countLines, cpuMs, report, target } from './support/faults.ts'
import { fileHook, path, policy } from './support/policy.ts'

const skip = cannotRun()
if (skip !== false) console.log(`burst: skipped: ${skip}`)

const CPU1 = '/sys/devices/system/cpu/cpu1/online'

/** Takes the second CPU offline; brings it back when disposed. undefined if this kernel has no second CPU to take. */
function oneCpu(): Disposable | undefined {
  try {
    if (readFileSync(CPU1, 'utf8').trim() !== '1') return undefined
    writeFileSync(CPU1, '0')
  } catch {
    return undefined
  }
  return { [Symbol.dispose]: () => writeFileSync(CPU1, '1') }
}

interface Burst {
  readonly hits: number
  readonly processes: number
  /** Keys of the file exporter. */
  readonly archive?: Readonly<Record<string, unknown>>
  readonly ring?: string
}

/** Runs the burst and checks: each hit once in the file, nothing lost, and the accounting balances. */
async function checkBurst(what: string, { hits, processes, archive = {}, ring }: Burst): Promise<void> {
  const { folder, file } = target()
  await using agent = await TestAgent.start({
    policies: { 'p.yaml': policy('burst', [fileHook([path('Prefix', folder)])]) },
    // The defaults of the file exporter, not those of the test agent.
    archive: { fsync: '1s', batch: {}, ...archive },
    ...(ring === undefined ? {} : { config: { ring: { size: ring } } }),
  })
  await agent.settled()
  const cpu = cpuMs(agent.pid)
  const { ms } = await burst(['pread', file, hits / processes, processes])
  const began = performance.now() - ms
  await agent.until(`${hits} events to be delivered`, async () => {
    const metrics = await agent.metrics()
    return metrics.sum('ktrail_exporter_queue_events') === 0 && metrics.sum('ktrail_ring_waiting_bytes') === 0
  })
  const tookMs = performance.now() - began
  const used = cpuMs(agent.pid) - cpu
  await audited(agent)
  const metrics = await agent.metrics()
  const events = countLines(`${agent.folder}/events.jsonl`, accessOf(file))
  report(what, {
    hits,
    events,
    'hits/s made': (hits / ms) * 1000,
    'events/s to the file': (events / tookMs) * 1000,
    'agent CPU ms': used,
    'µs each': ((used * 1000) / hits).toFixed(1),
    lost: metrics.losses().join(' ') || 'nothing',
  })
  assert.deepEqual(metrics.losses(), [])
  assert.equal(metrics.sum('ktrail_exporter_dropped_events_total'), 0)
  assert.equal(events, hits)
  await balanced(agent)
  assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  assert.equal(agent.torn(), '')
}

describe('burst', { skip }, () => {
  it('20,000 hits of one process, default config: 20,000 events', () =>
    checkBurst('one reader, two CPUs', { hits: 20_000, processes: 1 }))

  it('20,000 hits of four processes at once: 20,000 events', () =>
    checkBurst('four readers, two CPUs', { hits: 20_000, processes: 4 }))

  it('20,000 hits on one CPU, the agent on the same: 20,000 events', async (t) => {
    using cpu = oneCpu()
    if (cpu === undefined) return t.skip('this guest has no second CPU that can be taken away')
    await checkBurst('one reader, one CPU', { hits: 20_000, processes: 1 })
  })

  it('20,000 hits of four processes on one CPU: 20,000 events', async (t) => {
    using cpu = oneCpu()
    if (cpu === undefined) return t.skip('this guest has no second CPU that can be taken away')
    await checkBurst('four readers, one CPU', { hits: 20_000, processes: 4 })
  })

  // Hits come five times as fast as an emulated agent writes them, so the ring must hold 200,000 records of 170 bytes.
  it('200,000 hits with an exporter that blocks, in a ring that is large enough: 200,000 events', () =>
    checkBurst('one reader, when_full: block', {
      hits: 200_000,
      processes: 1,
      archive: { queue: { when_full: 'block' } },
      ring: '64MiB',
    }))
})
