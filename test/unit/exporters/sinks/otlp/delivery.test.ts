/** Halving a batch of which the sink rejects a part. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { deliver } from '../../../../../exporters/sinks/otlp/delivery.ts'
import type { Range } from '../../../../../exporters/sinks/otlp/delivery.ts'
import type { Verdict } from '../../../../../exporters/sinks/otlp/outcome.ts'
import { FakeSink, OK } from '../../../../support/otlp/server.ts'
import type { Answer, Received } from '../../../../support/otlp/server.ts'
import { numbers } from '../../support/lines.ts'
import { NEVER, batchFrom, exporterFor, plain, reply, seqsOf } from './support.ts'

test('otlp delivery: after 413 the record that is too large is found by halving, and all others are delivered', async () => {
  const tooLarge = 6
  await using sink = await FakeSink.start((request) => (seqsOf(request).includes(tooLarge) ? { status: 413 } : OK))
  await using exporter = exporterFor(sink)
  await exporter.start()
  assert.deepEqual(plain(await exporter.send(batchFrom(0, 5, 5), NEVER)), {
    status: 'partial',
    refusals: [{ reason: 'too_large', events: 1, which: [6], message: reply('413') }],
  })
  const taken = sink.requests.filter((request) => !seqsOf(request).includes(tooLarge)).flatMap(seqsOf)
  assert.deepEqual(
    taken,
    numbers(0, 10).filter((seq) => seq !== tooLarge),
  )
})

test('otlp delivery: a 400 is isolated in about 2 log n requests, with each bad record', async () => {
  const bad = new Set([17, 300, 301])
  await using sink = await FakeSink.start((request) =>
    seqsOf(request).some((seq) => bad.has(seq)) ? { status: 400, body: 'no' } : OK,
  )
  await using exporter = exporterFor(sink)
  await exporter.start()
  const outcome = plain(await exporter.send(batchFrom(0, 256, 256), NEVER))
  const refusals = [{ reason: 'invalid', events: 3, which: [17, 300, 301], message: reply('400: no') }]
  assert.deepEqual(outcome, { status: 'partial', refusals })
  assert.ok(sink.requests.length < 60, `${sink.requests.length} requests`)
})

for (const answer of [
  { status: 400, body: 'no' },
  { status: 413, body: 'no' },
]) {
  const reason = answer.status === 413 ? 'too_large' : 'invalid'
  const refused = { reason, message: reply(`${answer.status}: no`) }
  const why = 'it has refused 8 single records in a row: check the endpoint, then reopen (SIGHUP)'
  const held = { status: 'hold', message: reply(`${answer.status}: no; ${why}`) }

  test(`otlp delivery: a sink that answers ${answer.status} to everything rejects eight records in all, then the rest is held`, async () => {
    await using sink = await FakeSink.start(() => answer)
    await using exporter = exporterFor(sink)
    await exporter.start()
    assert.deepEqual(plain(await exporter.send(batchFrom(0, 1000), NEVER)), {
      ...held,
      status: 'retryable',
      afterMs: 0,
      taken: 8,
      unacknowledged: 0,
      refusals: [{ ...refused, events: 8, which: numbers(0, 8) }],
    })
    for (const batch of [batchFrom(8, 992), batchFrom(8, 992), batchFrom(2000, 1)]) {
      assert.deepEqual(plain(await exporter.send(batch, NEVER)), held)
    }
    assert.ok(sink.requests.length < 60, `${sink.requests.length} requests`)
    // After the repair no further event is lost, even if the first record is a bad one.
    sink.script = (request) => (seqsOf(request).includes(8) ? answer : OK)
    assert.deepEqual(plain(await exporter.send(batchFrom(8, 10), NEVER)), {
      status: 'partial',
      refusals: [{ ...refused, events: 1, which: [0] }],
    })
  })

  test(`otlp delivery: single records that are answered ${answer.status} one batch after the other are held too, until a reopen`, async () => {
    await using sink = await FakeSink.start(() => answer)
    await using exporter = exporterFor(sink)
    await exporter.start()
    for (const seq of numbers(0, 8)) assert.equal((await exporter.send(batchFrom(seq, 1), NEVER)).status, 'rejected')
    assert.deepEqual(plain(await exporter.send(batchFrom(8, 1), NEVER)), held)
    await exporter.reopen()
    assert.equal((await exporter.send(batchFrom(8, 1), NEVER)).status, 'rejected')
  })
}

test('otlp delivery: a long run of bad records does not delay the good ones after it', async () => {
  await using sink = await FakeSink.start((request) =>
    seqsOf(request).some((seq) => seq < 100) ? { status: 400, body: 'no' } : OK,
  )
  await using exporter = exporterFor(sink)
  await exporter.start()
  assert.deepEqual(plain(await exporter.send(batchFrom(0, 128), NEVER)), {
    status: 'partial',
    refusals: [{ reason: 'invalid', events: 100, which: numbers(0, 100), message: reply('400: no') }],
  })
  const asked = sink.requests.map(seqsOf).filter((seqs) => seqs.length === 1 && seqs[0] === 127)
  assert.equal(asked.length, 1, 'the last record shows once that the sink accepts any')
})

const TAKEN: Verdict = { is: 'taken', rejected: 0, reason: 'partial', warning: '' }

test('otlp delivery: k bad records of n take at most 2k log n requests, and never more than two for a record', async () => {
  const batches = fc
    .integer({ min: 1, max: 1000 })
    .chain((count) => fc.record({ count: fc.constant(count), which: fc.subarray(numbers(0, count)) }))
  await fc.assert(
    fc.asyncProperty(batches, async ({ count, which }) => {
      const bad = new Set(which)
      let requests = 0
      const post = ({ from, to }: Range): Promise<Verdict> => {
        requests++
        const isBad = numbers(from, to).some((index) => bad.has(index))
        const error = new ExportError('IO', 'too large')
        return Promise.resolve(isBad ? { is: 'faulty', reason: 'too_large', isAboutRecord: true, error } : TAKEN)
      }
      const task = { count, refused: new Map(), explain: String, maxEvents: Infinity, post }
      const outcome = await deliver(task, { singles: 0 })
      const refused = outcome.status === 'partial' ? outcome.refusals.flatMap((refusal) => refusal.which ?? []) : []
      if (outcome.status === 'rejected') assert.equal(bad.size, count)
      else assert.deepEqual(refused, which)
      const most = Math.min(1 + 2 * bad.size * Math.ceil(Math.log2(count)), 2 * count - 1)
      assert.ok(requests <= most, `${requests} requests for ${bad.size} of ${count}, at most ${most}`)
    }),
  )
})

/** Takes two at a time, rejects 1, and answers 503 to 5. */
function script(request: Received): Answer {
  const seqs = seqsOf(request)
  if (seqs.length > 2) return { status: 413 }
  if (seqs.includes(1)) return { status: 400 }
  return seqs.includes(5) ? { status: 503, headers: { 'retry-after': '2' } } : OK
}

test('otlp delivery: an interruption reports how many of the first are settled, and which of these were rejected', async () => {
  await using sink = await FakeSink.start(script)
  await using exporter = exporterFor(sink)
  await exporter.start()
  assert.deepEqual(plain(await exporter.send(batchFrom(0, 8), NEVER)), {
    status: 'retryable',
    afterMs: 2000,
    taken: 4,
    unacknowledged: 2,
    refusals: [{ reason: 'invalid', events: 1, which: [1], message: reply('400') }],
    message: reply('503'),
  })
})
