/** The guest makes hits as fast as it can: every hit is in the file, and the accounting balances. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { TestAgent, cannotRun } from './support/agent.ts'
import type { AgentOptions } from './support/agent.ts'
import { accessOf, audited, balanced, burst, countLines, cpuMs, report, target } from './support/faults.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { LONG } from '../support/long.ts'

const skip = cannotRun()
if (skip !== false) console.log(`burst: skipped: ${skip}`)

const HITS = LONG ? 20_000 : 10_000
const IN_RING = LONG ? 60_000 : 30_000
const many = (hits: number): string => hits.toLocaleString('en')

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
}

/** An agent that reports reads of `file`. */
interface Reported {
  readonly agent: TestAgent
  readonly file: string
}

/** The file exporter has its own defaults instead of those of the test agent. */
async function start(keys: Pick<AgentOptions, 'archive' | 'config'> = {}): Promise<Reported> {
  const { folder, file } = target()
  const agent = await TestAgent.start({
    policies: { 'p.yaml': policy('burst', [fileHook([path('Prefix', folder)])]) },
    ...keys,
    archive: { fsync: '1s', batch: {}, ...keys.archive },
  })
  return { agent, file }
}

/** Runs the burst and checks: each hit once in the file, nothing lost, and the accounting balances. */
async function checkBurst(what: string, { hits, processes }: Burst, { agent, file }: Reported): Promise<void> {
  const inFile = (): number => countLines(`${agent.folder}/events.jsonl`, accessOf(file))
  await agent.settled()
  const earlier = inFile()
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
  const events = inFile() - earlier
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
}

async function stopped(agent: TestAgent): Promise<void> {
  assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  assert.equal(agent.torn(), '')
}

describe('burst', { skip }, () => {
  let reported: Reported
  before(async () => {
    reported = await start()
  })
  after(() => reported.agent[Symbol.asyncDispose]())

  it(`${many(HITS)} hits of one process, default config: as many events`, () =>
    checkBurst('one reader, two CPUs', { hits: HITS, processes: 1 }, reported))

  it(`${many(HITS)} hits of four processes at once: as many events`, () =>
    checkBurst('four readers, two CPUs', { hits: HITS, processes: 4 }, reported))

  it(`${many(HITS)} hits on one CPU, the agent on the same: as many events`, async (t) => {
    using cpu = oneCpu()
    if (cpu === undefined) return t.skip('this guest has no second CPU that can be taken away')
    await checkBurst('one reader, one CPU', { hits: HITS, processes: 1 }, reported)
  })

  it(`${many(HITS)} hits of four processes on one CPU: as many events`, async (t) => {
    using cpu = oneCpu()
    if (cpu === undefined) return t.skip('this guest has no second CPU that can be taken away')
    await checkBurst('four readers, one CPU', { hits: HITS, processes: 4 }, reported)
  })

  it('then it stops with exit code 0 and a whole last line', () => stopped(reported.agent))

  // Hits come five times as fast as an emulated agent writes them, so the ring must hold nearly all of their records of 170 bytes.
  it(`${many(IN_RING)} hits with an exporter that blocks, in a ring that is large enough: as many events`, async () => {
    const blocking = await start({
      archive: { queue: { when_full: 'block' } },
      config: { ring: { size: LONG ? '16MiB' : '8MiB' } },
    })
    await using agent = blocking.agent
    await checkBurst('one reader, when_full: block', { hits: IN_RING, processes: 1 }, blocking)
    await stopped(agent)
  })
})
