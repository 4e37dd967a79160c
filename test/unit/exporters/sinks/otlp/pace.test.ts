/**
 * A sink that allows so many bytes a second, as Loki's limits do (golang.org/x/time/rate): a request that finds too few bytes in the
 * bucket takes none, and gets 429. The clock only moves while the exporter waits.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchOf } from '../../../../../exporters/contract/encoded.ts'
import { Pace } from '../../../../../exporters/sinks/otlp/pace.ts'
import { Sender } from '../../../../../exporters/sending/sender.ts'
import { rpcStatus, FakeSink, OK } from '../../../../support/otlp/server.ts'
import type { Answer } from '../../../../support/otlp/server.ts'
import { exporterConfig } from '../../../../support/exporter-config.ts'
import { Seeded } from '../../../../simulation/spool/random.ts'
import { FakeClock, until } from '../../support/fake-clock.ts'
import { encoded, exporterFor, seqsOf } from './support.ts'

const MINUTE_MS = 60_000

class Bucket {
  readonly #rate: number
  readonly #burst: number
  #tokens: number
  #atMs = 0

  constructor(rate: number, burst: number) {
    this.#rate = rate
    this.#burst = burst
    this.#tokens = burst
  }

  /** Milliseconds until the bucket has room; 0 if the bytes are taken now. */
  take(bytes: number, nowMs: number): number {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#rate) / 1000)
    this.#atMs = nowMs
    if (bytes > this.#tokens) return ((bytes - this.#tokens) / this.#rate) * 1000
    this.#tokens -= bytes
    return 0
  }
}

interface Row {
  readonly name: string
  /** Bytes a second. */
  readonly rate: number
  /** Bytes of the bucket, in seconds of the rate. Loki's are 1.5 for a tenant, 5 for a stream. */
  readonly burst: number
  readonly retryAfter?: boolean
  readonly answer?: string
}

const ROWS: readonly Row[] = [
  { name: '100 kB/s', rate: 100_000, burst: 1.5 },
  { name: '100 kB/s, with Retry-After', rate: 100_000, burst: 1.5, retryAfter: true },
  { name: '20 kB/s, far less than a batch', rate: 20_000, burst: 1.5 },
  { name: '200 kB/s, a burst of a second', rate: 200_000, burst: 1 },
  { name: '200 kB/s, a burst of five seconds', rate: 200_000, burst: 5, answer: 'Per stream rate limit exceeded' },
]

for (const { name, rate, burst, retryAfter = false, answer = 'ingestion rate limit exceeded' } of ROWS) {
  test(`otlp pace: a sink with a limit of ${name} takes at least 80 % of it`, async (t) => {
    const clock = new FakeClock()
    const startMs = clock.nowMs()
    const bucket = new Bucket(rate, rate * burst)
    const seqs = new Set<number>()
    let taken = 0
    let refused = 0
    await using sink: FakeSink = await FakeSink.start((request): Answer => {
      sink.requests.length = 0
      const ms = bucket.take(request.body.length, clock.nowMs() - startMs)
      if (ms > 0) {
        refused++
        const headers = retryAfter ? { 'retry-after': `${Math.ceil(ms / 1000)}` } : {}
        return { status: 429, headers, body: rpcStatus(answer) }
      }
      taken += request.body.length
      for (const seq of seqsOf(request)) seqs.add(seq)
      return OK
    })
    const { queue, batch, retry, timeout } = exporterConfig('otlp', { logs_endpoint: sink.url })
    const exporter = exporterFor(sink, {}, { nowMs: () => clock.nowMs(), random: () => 0.5 })
    const chain = { queue: { ...queue, max_bytes: 1 << 30, max_events: 1e6 }, batch, retry, timeout }
    const sender = new Sender('loki', exporter, chain, { clock, random: () => 0.5 })
    await sender.start()
    const minutes = Math.max(1, Math.min(2, 1e7 / (rate * 60)))
    const enough = rate * (burst + (minutes * MINUTE_MS) / 1000)
    let offered = 0
    for (let bytes = 0; bytes < enough; offered += 1000) {
      const part = encoded(offered, 1000)
      bytes += batchOf([part]).sizeBytes
      void sender.offer(part)
    }
    const waits = (): number => sender.stats().retryWaitMs
    while (clock.nowMs() - startMs < minutes * MINUTE_MS) {
      await until('the exporter waits', () => waits() > 0 || sender.accounting().heldEvents === 0)
      await clock.turn(waits())
    }
    const share = taken / (rate * (burst + (clock.nowMs() - startMs) / 1000))
    const requests = `${seqs.size} events; ${refused} requests refused in ${minutes.toFixed(1)} minutes`
    t.diagnostic(`${(100 * share).toFixed(1)} % of the allowance, ${requests}`)
    assert.ok(share >= 0.8, `${(100 * share).toFixed(1)} % of the allowance; ${requests}`)
    assert.ok(refused <= 60 * 8 * minutes, requests)
    assert.ok(sender.accounting().heldEvents > 0, 'there was always something to send')
    assert.equal(sender.imbalance(), 0)
    // The next events of the run are the last ones taken: in order, none left out.
    assert.equal(Math.max(...seqs) + 1, seqs.size)
    await Promise.all([sender.stop(0), clock.turn(2000)])
  })
}

test('otlp pace: a wait of a year that the sink names limits requests no longer than the hour that is waited', () => {
  let nowMs = 0
  const pace = new Pace({ initial: 100, max: 1000, nowMs: () => nowMs, random: () => 0.5 })
  pace.refused(100_000, 0, 365 * 24 * 60 * MINUTE_MS)
  nowMs = 61 * MINUTE_MS
  pace.taken(100_000)
  assert.equal(pace.maxEvents({ parts: [], count: 1000, sizeBytes: 1e6 }), Infinity)
})

test('otlp pace: a hundred agents that share an allowance use it, in large requests', () => {
  const random = new Seeded(1)
  const [rate, count, sizeBytes] = [1_000_000, 1000, 700_000]
  const bucket = new Bucket(rate, rate * 1.5)
  const passed = { taken: 0, refused: 0, bytes: 0 }
  let nowMs = 0
  const agents = Array.from({ length: 100 }, () => ({
    pace: new Pace({ initial: 1000, max: 30_000, nowMs: () => nowMs, random: random.next }),
    dueMs: random.int(1000),
    left: count,
  }))
  while (nowMs < 5 * MINUTE_MS) {
    const agent = agents.reduce((first, other) => (other.dueMs < first.dueMs ? other : first))
    const { pace } = agent
    nowMs = Math.max(nowMs, agent.dueMs)
    const events = Math.min(agent.left, pace.maxEvents({ count, sizeBytes, parts: [] }))
    const bytes = (events * sizeBytes) / count
    if (bucket.take(bytes, nowMs) > 0) {
      passed.refused++
      agent.dueMs = nowMs + pace.refused(bytes, 0, undefined)
      continue
    }
    passed.taken++
    passed.bytes += bytes
    pace.taken(bytes)
    agent.left = agent.left === events ? count : agent.left - events
    agent.dueMs = nowMs + 20
  }
  assert.ok(passed.bytes > 0.8 * rate * (nowMs / 1000), JSON.stringify(passed))
  assert.ok(passed.refused < 2 * passed.taken, JSON.stringify(passed))
  assert.ok(passed.bytes / passed.taken > 4096, `${passed.bytes / passed.taken} bytes a request`)
})
