/** OpenTelemetry's own exporters as ktrail exporters: their work on a batch, and its outcome. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { InMemoryLogRecordExporter } from '@opentelemetry/sdk-logs'
import type { LogRecordExporter } from '@opentelemetry/sdk-logs'
import type { Outcome } from '../../../../../exporters/contract/exporter.ts'
import { createOtlpJsonEncoder } from '../../../../../exporters/encoding/otlp/json-encode.ts'
import { fromLogRecordExporter } from '../../../../../exporters/sinks/otlp/sdk-adapter.ts'
import { batchOf } from '../../../../../exporters/contract/encoded.ts'
import { Silence, contract } from '../../../../../exporters/testing/index.ts'
import type { Harness } from '../../../../../exporters/testing/index.ts'
import { seqOf } from '../../../../support/otlp/decode.ts'
import { FakeSink, OK } from '../../../../support/otlp/server.ts'
import type { Answer } from '../../../../support/otlp/server.ts'
import { makeExec, makeKprobe } from '../../support/events.ts'
import { encoderOptions, NEVER } from './support.ts'

const encoder = createOtlpJsonEncoder(encoderOptions)
const encoded = (firstSeq: number, count: number): ReturnType<typeof encoder.encode> =>
  encoder.encode(Array.from({ length: count }, (_, i) => makeKprobe({ seq: firstSeq + i })))
const adapt = (exporter: LogRecordExporter): ReturnType<typeof fromLogRecordExporter> =>
  fromLogRecordExporter(exporter, { nodeName: 'node-1' })

let took: number[] = []
let failures = 0
let silence: Silence | undefined
let scripted: (seqs: readonly number[]) => Answer | undefined = () => undefined
const sink = await FakeSink.start(async (request) => {
  await silence?.pass()
  const seqs = request.logs().records.map(seqOf)
  const answer = scripted(seqs)
  if (answer !== undefined) return answer
  // Not 429 or 503: the SDK's exporter retries those itself, after a second and more.
  if (failures-- > 0) return { status: 500 }
  took.push(...seqs)
  return OK
})
after(() => sink[Symbol.asyncDispose]())

function fresh(): LogRecordExporter {
  took = []
  failures = 0
  silence = undefined
  scripted = () => undefined
  return new OTLPLogExporter({ url: sink.url })
}

const makeHarness = (): Harness => ({
  exporter: adapt(fresh()),
  ids: () => took,
  fail: (calls) => (failures = calls),
  stall: () => (silence = new Silence()),
  encode: encoded,
})
contract('sdk', makeHarness, 8)

test('sdk adapter: records have the times, attributes, body and resource of the mapping', async () => {
  const memory = new InMemoryLogRecordExporter()
  await using exporter = adapt(memory)
  await exporter.start()
  const events = [makeExec({ seq: 7 }), makeKprobe({ seq: 8 })]
  assert.deepEqual(await exporter.send(batchOf([encoder.encode(events)]), NEVER), { status: 'delivered' })
  const [exec, kprobe] = memory.getFinishedLogRecords()
  assert.deepEqual(exec?.hrTime, [1_713_061_094, 376_304_204])
  assert.deepEqual(exec?.hrTimeObserved, [1_795_528_989, 0])
  assert.equal(exec?.eventName, 'ktrail.process_exec')
  assert.equal(exec?.attributes['process.pid'], 64746)
  assert.equal(exec?.attributes['log.record.uid'], '1795520000-7')
  assert.match(String(kprobe?.body), /^\{"process_kprobe":.*\}$/)
  assert.equal(kprobe?.resource.attributes['service.instance.id'], 'node-1')
  assert.equal(kprobe?.instrumentationScope.name, 'ktrail.events')
})

const answers: ReadonlyArray<readonly [answer: Answer, count: number, want: Outcome['status'], reason?: string]> = [
  [{ status: 200 }, 2, 'delivered'],
  [{ status: 500 }, 2, 'retryable'],
  [{ status: 400 }, 2, 'rejected', 'invalid'],
  [{ status: 401 }, 2, 'hold'],
  [{ status: 403 }, 2, 'hold'],
  [{ status: 404 }, 2, 'hold'],
  [{ status: 415 }, 2, 'hold'],
  [{ status: 413 }, 2, 'rejected', 'too_large'],
]
for (const [answer, count, want, reason] of answers) {
  test(`sdk adapter: ${answer.status} for ${count} events is ${want}`, async () => {
    await using exporter = adapt(fresh())
    scripted = () => answer
    await exporter.start()
    const outcome = await exporter.send(batchOf([encoded(0, count)]), NEVER)
    assert.equal(outcome.status, want)
    assert.equal(outcome.status === 'rejected' ? outcome.reason : undefined, reason)
  })
}

for (const [status, reason] of [
  [400, 'invalid'],
  [413, 'too_large'],
] as const) {
  test(`sdk adapter: a record that is answered ${status} is found by halving, the others are delivered`, async () => {
    await using exporter = adapt(fresh())
    scripted = (seqs) => (seqs.includes(6) ? { status } : undefined)
    await exporter.start()
    const outcome = await exporter.send(batchOf([encoded(0, 5), encoded(5, 5)]), NEVER)
    assert.ok(outcome.status === 'partial')
    assert.deepEqual(
      outcome.refusals.map((refusal) => [refusal.reason, refusal.which]),
      [[reason, [6]]],
    )
    assert.deepEqual(took, [0, 1, 2, 3, 4, 5, 7, 8, 9])
  })
}

test('sdk adapter: errors thrown, and failures without a message, are retried', async () => {
  for (const fails of [
    () => {
      throw new Error('boom')
    },
    () => Promise.reject(new Error('boom')),
    (_: unknown, done: (result: { code: number }) => void) => done({ code: 1 }),
  ]) {
    await using exporter = adapt({
      export: fails,
      shutdown: () => Promise.resolve(),
      forceFlush: () => Promise.resolve(),
    })
    await exporter.start()
    const outcome = await exporter.send(batchOf([encoded(0, 1)]), NEVER)
    assert.equal(outcome.status, 'retryable')
    assert.match('error' in outcome ? outcome.error.message : '', /^boom$|without a reason/)
  }
})

test('sdk adapter: a batch that was accepted late is not sent twice', async () => {
  await using exporter = adapt(fresh())
  await exporter.start()
  const waiting = new Silence()
  silence = waiting
  const sent = batchOf([encoded(0, 3)])
  const stop = new AbortController()
  const sending = exporter.send(sent, stop.signal)
  await waiting.reached
  stop.abort()
  assert.equal((await sending).status, 'retryable')
  silence = undefined
  waiting.release()
  assert.deepEqual(await exporter.send(sent, NEVER), { status: 'delivered' })
  assert.deepEqual(took, [0, 1, 2])
})

test('sdk adapter: an exporter that is not open reports that no event reached the sink', async () => {
  const outcome = await adapt(fresh()).send(batchOf([encoded(0, 1)]), NEVER)
  assert.partialDeepStrictEqual(outcome, { status: 'retryable', unacknowledged: 0 })
})
