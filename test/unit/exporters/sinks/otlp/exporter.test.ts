import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { createOtlpJsonEncoder } from '../../../../../exporters/encoding/otlp/json-encode.ts'
import { batchOf } from '../../../../../exporters/contract/encoded.ts'
import { FakeSink, OK, partialSuccess } from '../../../../support/otlp/server.ts'
import { makeKprobe } from '../../support/events.ts'
import { until } from '../../support/fake-clock.ts'
import { numbers } from '../../support/lines.ts'
import { NEVER, batchFrom, encoderOptions, exporterFor, plain, seqsOf } from './support.ts'

test('otlp exporter: a sink that does not answer is a timeout, an unreachable one is a retryable error', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, fault: 'never' }))
  await using exporter = exporterFor(sink, { request_timeout: 50 })
  await exporter.start()
  const outcome = await exporter.send(batchFrom(0, 1), NEVER)
  assert.ok(outcome.status === 'retryable' && outcome.error instanceof ExportError)
  assert.deepEqual([outcome.error.code, outcome.unacknowledged], ['TIMEOUT', 1])
  const gone = exporterFor(sink, { logs_endpoint: 'http://127.0.0.1:1/v1/logs', request_timeout: 1000 })
  await sink[Symbol.asyncDispose]()
  await gone.start()
  const refused = await gone.send(batchFrom(0, 1), NEVER)
  assert.ok(refused.status === 'retryable')
  assert.match(refused.error.message, /^POST http:\/\/127\.0\.0\.1:1\/v1\/logs: .*ECONNREFUSED/)
  assert.equal(refused.unacknowledged, 0, 'the sink cannot have any of it')
  await gone.stop()
})

test('otlp exporter: a send that is aborted in flight settles at once', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, fault: 'never' }))
  await using exporter = exporterFor(sink, { request_timeout: 60_000 })
  await exporter.start()
  const stop = new AbortController()
  const sending = exporter.send(batchFrom(0, 1), stop.signal)
  await until('the request has come', () => sink.requests.length === 1)
  stop.abort()
  const outcome = await sending
  assert.ok(outcome.status === 'retryable' && outcome.error instanceof ExportError)
  assert.equal(outcome.error.code, 'ABORTED')
})

test('otlp exporter: a stop ends requests in flight, also those from before a reopen', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, fault: 'never' }))
  const exporter = exporterFor(sink, { request_timeout: 60_000, concurrency: { max: 2 } })
  await exporter.start()
  const before = exporter.send(batchFrom(0, 1), NEVER)
  await until('the first request has come', () => sink.requests.length === 1)
  await exporter.reopen()
  const after = exporter.send(batchFrom(1, 1), NEVER)
  await until('the second request has come', () => sink.requests.length === 2)
  await exporter.stop()
  for (const outcome of await Promise.all([before, after])) {
    assert.deepEqual(plain(outcome), {
      status: 'retryable',
      unacknowledged: 1,
      message: 'POST http://SINK/v1/logs: was stopped',
    })
  }
})

for (const compression of ['none', 'gzip', 'zstd'] as const) {
  test(`otlp exporter: a request with compression ${compression} has the exact headers and all records in order`, async () => {
    await using sink = await FakeSink.start()
    await using exporter = exporterFor(sink, {
      compression,
      headers: { authorization: 'Bearer x' },
      service_name: '監視',
    })
    await exporter.start()
    assert.deepEqual(await exporter.send(batchFrom(7, 3, 1, 4), NEVER), { status: 'delivered' })
    const [request] = sink.requests
    assert.ok(request !== undefined)
    assert.deepEqual(seqsOf(request), numbers(7, 15))
    assert.equal(request.method, 'POST')
    assert.equal(request.path, '/v1/logs')
    assert.equal(request.headers['content-type'], 'application/x-protobuf')
    assert.equal(request.headers['content-encoding'], compression === 'none' ? undefined : compression)
    assert.equal(request.headers['content-length'], String(request.raw.length))
    assert.equal(request.headers['authorization'], 'Bearer x')
    assert.equal(request.headers['user-agent'], 'ktrail/0.1.0')
    assert.deepEqual(request.logs().scope, { name: '監視.events', version: '0.1.0' })
  })
}

test('otlp exporter: JSON is sent as JSON, also in halves', async () => {
  await using sink = await FakeSink.start((request) => (seqsOf(request).length > 2 ? { status: 413 } : OK))
  await using exporter = exporterFor(sink, { protocol: 'http/json' })
  await exporter.start()
  const events = numbers(0, 5).map((seq) => makeKprobe({ seq }))
  const part = createOtlpJsonEncoder(encoderOptions).encode(events)
  assert.deepEqual(await exporter.send(batchOf([part]), NEVER), { status: 'delivered' })
  assert.equal(sink.requests[0]?.headers['content-type'], 'application/json')
  assert.deepEqual(
    sink.requests.map((request) => seqsOf(request).length),
    [5, 2, 3, 1, 2],
  )
})

test('otlp exporter: a batch that gets a 429 is sent in halves, and later ones whole again', async () => {
  let burst = 4
  await using sink = await FakeSink.start((request) => (seqsOf(request).length > burst ? { status: 429 } : OK))
  let nowMs = 0
  await using exporter = exporterFor(sink, {}, { nowMs: () => nowMs })
  await exporter.start()
  const sent = batchFrom(0, 4, 4)
  assert.equal((await exporter.send(sent, NEVER)).status, 'retryable')
  assert.deepEqual(await exporter.send(sent, NEVER), { status: 'delivered' })
  burst = 100
  nowMs += 60_000
  assert.deepEqual(await exporter.send(batchFrom(8, 8), NEVER), { status: 'delivered' })
  assert.deepEqual(
    sink.requests.map((request) => seqsOf(request).length),
    [8, 4, 4, 8],
  )
})

test('otlp exporter: requests share one connection, and one that the sink closed is replaced without a failure', async () => {
  await using sink = await FakeSink.start()
  await using exporter = exporterFor(sink)
  await exporter.start()
  for (let i = 0; i < 5; i++) await exporter.send(batchFrom(i, 1), NEVER)
  assert.equal(sink.connections, 1)
  sink.dropConnections()
  assert.deepEqual(await exporter.send(batchFrom(5, 1), NEVER), { status: 'delivered' })
  assert.equal(sink.connections, 2)
})

test('otlp exporter: warnings of the sink are reported, at most one a minute', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, body: partialSuccess(0, 'slow down') }))
  const warnings: string[] = []
  let wallMs = 0
  await using exporter = exporterFor(sink, {}, { wallMs: () => wallMs, warn: (text) => warnings.push(text) })
  await exporter.start()
  for (let i = 0; i < 3; i++) await exporter.send(batchFrom(i, 1), NEVER)
  wallMs = 61_000
  await exporter.send(batchFrom(3, 1), NEVER)
  assert.deepEqual(warnings, [`${sink.url}: slow down`, `${sink.url}: slow down`])
  assert.equal(exporter.counters['warnings'], 4)
})

test('otlp exporter: a certificate without its key is refused at creation', async () => {
  await using sink = await FakeSink.start()
  const tls = { insecure_skip_verify: false, cert_file: '/c' }
  assert.throws(() => exporterFor(sink, { tls }), /^ExportError: tls: expected cert_file and key_file together/)
})
