/** Concurrent calls of `send`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Outcome } from '../../../../../exporters/contract/exporter.ts'
import { FakeSink, OK } from '../../../../support/otlp/server.ts'
import { numbers } from '../../support/lines.ts'
import { NEVER, batchFrom, exporterFor, seqsOf } from './support.ts'

const AT_ONCE = 16

test('otlp concurrency: as many requests at a time as allowed, each on its own connection, answered in any order', async () => {
  const waiting: Array<() => void> = []
  await using sink = await FakeSink.start(async () => {
    const turn = new Promise<void>((resolve) => waiting.push(resolve))
    // The last one is answered first, so that all of them are in flight.
    if (waiting.length === AT_ONCE) for (const answer of waiting.toReversed()) answer()
    await turn
    return OK
  })
  await using exporter = exporterFor(sink, { concurrency: { max: AT_ONCE }, compression: 'zstd' })
  assert.equal(exporter.maxConcurrency, AT_ONCE)
  await exporter.start()
  const sends = numbers(0, AT_ONCE).map((i) => exporter.send(batchFrom(i * 10, 10), NEVER))
  for (const outcome of await Promise.all(sends)) assert.deepEqual(outcome, { status: 'delivered' })
  assert.equal(sink.connections, AT_ONCE)
  assert.equal(exporter.counters['requests'], AT_ONCE)
  assert.deepEqual(
    sink.requests.flatMap(seqsOf).toSorted((a, b) => a - b),
    numbers(0, AT_ONCE * 10),
  )
})

test('otlp concurrency: failures of one batch do not affect the others', async () => {
  await using sink = await FakeSink.start((request) => {
    const [first = 0] = seqsOf(request)
    if (first < 10) return { status: 503 }
    if (first < 20) return seqsOf(request).includes(13) ? { status: 400, body: 'no' } : OK
    return first < 30 ? { status: 401 } : OK
  })
  await using exporter = exporterFor(sink, { concurrency: { max: 4 } })
  await exporter.start()
  const outcomes = await Promise.all([0, 10, 20, 30].map((seq) => exporter.send(batchFrom(seq, 10), NEVER)))
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['retryable', 'partial', 'hold', 'delivered'],
  )
  assert.deepEqual(refusedOf(outcomes[1]), [3])
})

test('otlp concurrency: a batch above the burst is still halved while others pass', async () => {
  const burst = 4
  await using sink = await FakeSink.start((request) => (seqsOf(request).length > burst ? { status: 429 } : OK))
  await using exporter = exporterFor(sink, { concurrency: { max: 2 } })
  await exporter.start()
  const large = batchFrom(0, 64)
  let tries = 0
  for (let status = 'retryable'; status === 'retryable'; tries++) {
    assert.ok(tries < 10, `${tries} tries`)
    const [throttled, passed] = await Promise.all([
      exporter.send(large, NEVER),
      exporter.send(batchFrom(100 + tries, 1), NEVER),
    ])
    assert.equal(passed.status, 'delivered')
    status = throttled.status
  }
  assert.ok(tries > 1)
})

function refusedOf(outcome: Outcome | undefined): readonly number[] | undefined {
  return outcome?.status === 'partial' ? outcome.refusals[0]?.which : undefined
}
