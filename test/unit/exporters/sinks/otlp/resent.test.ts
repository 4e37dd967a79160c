/** Requests that are sent again within one try: counted as possible duplicates. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchOf } from '../../../../../exporters/contract/encoded.ts'
import { Sender } from '../../../../../exporters/sending/sender.ts'
import { FakeSink, OK } from '../../../../support/otlp/server.ts'
import type { Script } from '../../../../support/otlp/server.ts'
import { until } from '../../support/fake-clock.ts'
import { NEVER, encoded, exporterFor, seqsOf, LOKI } from './support.ts'
import { CHAIN } from '../../../../support/exporter-config.ts'

const EVENTS = 300
const PER_BATCH = 10

test('otlp: a sink that stores and then resets a reused connection has no more duplicates than were counted', async () => {
  const stored: number[] = []
  let resets = 0
  const requestsOf = new Map<string, number>()
  /** Every third request of a connection is stored and answered by a reset. */
  const script: Script = (request) => {
    stored.push(...seqsOf(request))
    const before = requestsOf.get(request.peer) ?? 0
    requestsOf.set(request.peer, before + 1)
    if (before !== 2) return OK
    resets++
    return { status: 200, fault: 'reset' }
  }
  await using sink = await FakeSink.start(script)
  const options = {
    ...CHAIN,
    batch: { max_events: PER_BATCH, max_bytes: 1 << 20, max_wait: 5 },
    retry: { initial: 1, max: 1 },
  }
  const sender = new Sender('otlp', exporterFor(sink), options)
  await sender.start()
  for (let seq = 0; seq < EVENTS; seq += PER_BATCH) void sender.offer(encoded(seq, PER_BATCH))
  await until('all is delivered', () => sender.accounting().delivered === EVENTS)
  await sender.stop(5000)
  assert.ok(resets >= 5, `${resets} resets`)
  assert.equal(new Set(stored).size, EVENTS, 'by uid')
  assert.equal(stored.length - EVENTS, resets * PER_BATCH, 'the sink must have that many duplicates')
  assert.equal(sender.stats().duplicatesPossible, resets * PER_BATCH)
  assert.equal(sender.accounting().retries, resets)
})

test('otlp: sending a request again counts the events in it, not those held back', async () => {
  await using sink = await FakeSink.start((_, call) => (call === 1 ? { status: 200, fault: 'reset' } : OK))
  await using exporter = exporterFor(sink, { loki: LOKI }, { wallMs: () => 1_713_061_100_000 })
  await exporter.start()
  await exporter.send(batchOf([encoded(0, 1)]), NEVER)
  const old = encoded(2, 1, { time: { sec: 0, nsec: 1 } })
  await exporter.send(batchOf([encoded(1, 1), old, encoded(3, 2)]), NEVER)
  assert.deepEqual(sink.requests.map(seqsOf), [[0], [1, 3, 4], [1, 3, 4]])
  assert.deepEqual(exporter.resent, { requests: 1, events: 3 })
})
