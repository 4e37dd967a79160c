import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../exporters/errors.ts'
import type { Outcome } from '../../../../exporters/exporter.ts'
import { createOtlpJsonEncoder } from '../../../../exporters/otlp/json-encode.ts'
import { OtlpExporter } from '../../../../exporters/otlp/exporter.ts'
import { batchOf } from '../../../../exporters/sending/encoded.ts'
import { FakeSink, OK, partialSuccess, rpcStatus } from '../../../support/otlp/server.ts'
import type { Answer, Received } from '../../../support/otlp/server.ts'
import { makeKprobe } from '../support/events.ts'
import { until } from '../support/fake-clock.ts'
import { numbers } from '../support/lines.ts'
import { NEVER, RESOURCE, batchFrom, encoderOptions, exporterFor, seqsOf } from './support.ts'

/** An outcome without its error, and with the error's text. */
function plain(outcome: Outcome): object {
  const { error, ...rest } = { error: undefined, ...outcome }
  const refusals = 'refusals' in rest ? rest.refusals : undefined
  return {
    ...rest,
    ...(refusals === undefined
      ? {}
      : { refusals: refusals.map((each) => ({ ...each, message: shown(each.message) })) }),
    ...(error === undefined ? {} : { says: shown(error.message) }),
  }
}

const shown = (text: string): string => text.replace(/127\.0\.0\.1:\d+/, 'SINK')

async function answered(answer: Answer, counts: number[] = [3, 2]): Promise<Outcome> {
  await using sink = await FakeSink.start(() => answer)
  await using exporter = exporterFor(sink)
  await exporter.start()
  return await exporter.send(batchFrom(0, ...counts), NEVER)
}

const says = (text: string): string => `http://SINK/v1/logs answered ${text}`
const date = new Date(Date.now() + 60_000).toUTCString()
const json = { 'content-type': 'application/json' }
const rows: ReadonlyArray<readonly [name: string, answer: Answer, want: object]> = [
  ['200 with an empty body', OK, { status: 'delivered' }],
  ['200 with {}', { status: 200, body: '{}', headers: json }, { status: 'delivered' }],
  ['200 with a body that is nothing', { status: 200, body: '\xff\xff\xff' }, { status: 'delivered' }],
  ['202', { status: 202 }, { status: 'delivered' }],
  ['204, as Loki', { status: 204 }, { status: 'delivered' }],
  [
    'a partial success',
    { status: 200, body: partialSuccess(2, 'two were bad') },
    { status: 'partial', refusals: [{ reason: 'partial', events: 2, message: 'two were bad' }] },
  ],
  [
    'a partial success in JSON, the number as text',
    { status: 200, body: '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"x"}}', headers: json },
    { status: 'partial', refusals: [{ reason: 'partial', events: 1, message: 'x' }] },
  ],
  ['a warning without rejection', { status: 200, body: partialSuccess(0, 'slow down') }, { status: 'delivered' }],
  [
    'more rejected than sent',
    { status: 200, body: partialSuccess(900, '') },
    {
      status: 'rejected',
      reason: 'partial',
      says: 'the sink refused records of a request that it took, and did not say why',
    },
  ],
  [
    '260: blocked',
    { status: 260, body: rpcStatus('ingestion blocked') },
    { status: 'rejected', reason: 'blocked', says: says('260: ingestion blocked') },
  ],
  ['201', { status: 201 }, { status: 'rejected', reason: 'unexpected_status', says: says('201') }],
  ['302', { status: 302, headers: { location: '/x' } }, { status: 'hold', says: says('302; check the endpoint') }],
  ['401', { status: 401, body: rpcStatus('who') }, { status: 'hold', says: says('401: who; check the credentials') }],
  ['403', { status: 403 }, { status: 'hold', says: says('403; check the credentials') }],
  [
    '404',
    { status: 404, body: '404 page not found' },
    { status: 'hold', says: says('404: 404 page not found; check the endpoint') },
  ],
  ['405', { status: 405 }, { status: 'hold', says: says('405; check the endpoint') }],
  ['407', { status: 407 }, { status: 'hold', says: says('407; check the credentials') }],
  ['408', { status: 408 }, { status: 'hold', says: says('408; check the endpoint') }],
  ['415', { status: 415 }, { status: 'hold', says: says('415; check the endpoint') }],
  ['429', { status: 429 }, { status: 'retryable', unsure: 0, says: says('429') }],
  [
    '429 with seconds',
    { status: 429, headers: { 'retry-after': '7' } },
    { status: 'retryable', unsure: 0, afterMs: 7000, says: says('429') },
  ],
  [
    '429 with nonsense',
    { status: 429, headers: { 'retry-after': 'soon' } },
    { status: 'retryable', unsure: 0, says: says('429') },
  ],
  [
    "Loki's 429 of one stream",
    { status: 429, body: rpcStatus('Per stream rate limit exceeded') },
    { status: 'retryable', unsure: 5, says: says('429: Per stream rate limit exceeded') },
  ],
  [
    '503 with a day',
    { status: 503, headers: { 'retry-after': '86400' } },
    { status: 'retryable', unsure: 5, afterMs: 86_400_000, says: says('503') },
  ],
  [
    '503 with a date gone by',
    { status: 503, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } },
    { status: 'retryable', unsure: 5, afterMs: 0, says: says('503') },
  ],
  [
    '500',
    { status: 500, body: '{"code":13,"message":"oh"}', headers: json },
    { status: 'retryable', unsure: 5, says: says('500: oh') },
  ],
  ['502', { status: 502, body: '<html>\u0000bad' }, { status: 'retryable', unsure: 5, says: says('502: <html> bad') }],
  ['504', { status: 504 }, { status: 'retryable', unsure: 5, says: says('504') }],
  [
    '400 about the content type',
    { status: 400, body: rpcStatus('content type: x is not supported') },
    { status: 'hold', says: says('400: content type: x is not supported') },
  ],
  [
    "Loki's 400 with a count",
    { status: 400, body: rpcStatus("entry ignored, reason: 'entry too far behind', total ignored: 3 out of 5") },
    {
      status: 'partial',
      refusals: [
        {
          reason: 'too_far_behind',
          events: 3,
          message: says("400: entry ignored, reason: 'entry too far behind', total ignored: 3 out of 5"),
        },
      ],
    },
  ],
  [
    'a connection reset',
    { status: 200, fault: 'reset' },
    { status: 'retryable', unsure: 5, says: 'POST http://SINK/v1/logs: read ECONNRESET' },
  ],
  [
    'a reply that breaks off',
    { status: 200, headers: { 'content-length': '10' }, fault: 'cut' },
    { status: 'retryable', unsure: 5, says: 'POST http://SINK/v1/logs: aborted' },
  ],
  [
    '101, which nobody asked for',
    { status: 101, fault: 'upgrade' },
    { status: 'retryable', says: 'POST http://SINK/v1/logs: closed the connection without an answer' },
  ],
  ['a reply without end', { status: 200, fault: 'endless' }, { status: 'delivered' }],
]
for (const [name, answer, want] of rows) {
  test(`otlp exporter: ${name} is ${'status' in want ? want.status : ''}`, async () => {
    assert.deepEqual(plain(await answered(answer)), want)
  })
}

test('otlp exporter: Retry-After as a date is kept', async () => {
  const outcome = await answered({ status: 503, headers: { 'retry-after': date } })
  assert.ok(outcome.status === 'retryable' && outcome.afterMs !== undefined)
  assert.ok(outcome.afterMs > 50_000 && outcome.afterMs <= 60_000, `${outcome.afterMs}`)
})

test('otlp exporter: a sink that does not answer is a timeout, one that is not there an error to retry', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, fault: 'never' }))
  await using exporter = exporterFor(sink, { timeoutMs: 50 })
  await exporter.start()
  const outcome = await exporter.send(batchFrom(0, 1), NEVER)
  assert.ok(outcome.status === 'retryable' && outcome.error instanceof ExportError)
  assert.deepEqual([outcome.error.code, outcome.unsure], ['TIMEOUT', 1])
  await sink[Symbol.asyncDispose]()
  const gone = new OtlpExporter({
    encoding: 'otlp',
    endpoint: 'http://127.0.0.1:1/v1/logs',
    compression: 'none',
    timeoutMs: 1000,
    resource: RESOURCE,
  })
  await gone.start()
  const refused = await gone.send(batchFrom(0, 1), NEVER)
  assert.ok(refused.status === 'retryable')
  assert.match(refused.error.message, /^POST http:\/\/127\.0\.0\.1:1\/v1\/logs: .*ECONNREFUSED/)
  assert.equal(refused.unsure, 0, 'nothing of it can be there')
  await gone.stop()
})

test('otlp exporter: a send that is aborted in flight settles at once', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, fault: 'never' }))
  await using exporter = exporterFor(sink, { timeoutMs: 60_000 })
  await exporter.start()
  const stop = new AbortController()
  const sending = exporter.send(batchFrom(0, 1), stop.signal)
  await until('the request has come', () => sink.requests.length === 1)
  stop.abort()
  const outcome = await sending
  assert.ok(outcome.status === 'retryable' && outcome.error instanceof ExportError)
  assert.equal(outcome.error.code, 'ABORTED')
})

test('otlp exporter: a stop ends what is in flight, also what began before a reopen', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, fault: 'never' }))
  const exporter = exporterFor(sink, { timeoutMs: 60_000, concurrency: 2 })
  await exporter.start()
  const before = exporter.send(batchFrom(0, 1), NEVER)
  await until('the first request has come', () => sink.requests.length === 1)
  await exporter.reopen()
  const after = exporter.send(batchFrom(1, 1), NEVER)
  await until('the second request has come', () => sink.requests.length === 2)
  await exporter.stop()
  for (const outcome of await Promise.all([before, after])) {
    assert.deepEqual(plain(outcome), { status: 'retryable', says: 'POST http://SINK/v1/logs: was stopped' })
  }
})

for (const compression of ['none', 'gzip', 'zstd'] as const) {
  test(`otlp exporter: a request with compression ${compression} has the exact headers and all records in order`, async () => {
    await using sink = await FakeSink.start()
    const headers = { authorization: 'Bearer x' }
    await using exporter = exporterFor(sink, { compression, tenant: 'team-a', headers })
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
    assert.equal(request.headers['x-scope-orgid'], 'team-a')
    assert.equal(request.headers['authorization'], 'Bearer x')
    assert.equal(request.headers['user-agent'], 'ktrail/0.1.0')
    assert.deepEqual(request.logs().scope, { name: 'ktrail.events', version: '0.1.0' })
  })
}

test('otlp exporter: JSON is sent as JSON, also in halves', async () => {
  await using sink = await FakeSink.start((request) => (seqsOf(request).length > 2 ? { status: 413 } : OK))
  await using exporter = exporterFor(sink, { encoding: 'otlp_json' })
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

test('otlp exporter: 413 halves down to the record that is too large, and takes all others', async () => {
  const tooLarge = 6
  await using sink = await FakeSink.start((request) => (seqsOf(request).includes(tooLarge) ? { status: 413 } : OK))
  await using exporter = exporterFor(sink)
  await exporter.start()
  assert.deepEqual(plain(await exporter.send(batchFrom(0, 5, 5), NEVER)), {
    status: 'partial',
    refusals: [{ reason: 'too_large', events: 1, which: [6], message: says('413') }],
  })
  const taken = sink.requests.filter((request) => !seqsOf(request).includes(tooLarge)).flatMap(seqsOf)
  assert.deepEqual(
    taken,
    numbers(0, 10).filter((seq) => seq !== tooLarge),
  )
})

test('otlp exporter: a 400 is isolated in about 2 log n requests, each bad record named', async () => {
  const bad = new Set([17, 300, 301])
  await using sink = await FakeSink.start((request) =>
    seqsOf(request).some((seq) => bad.has(seq)) ? { status: 400, body: 'no' } : OK,
  )
  await using exporter = exporterFor(sink)
  await exporter.start()
  const outcome = plain(await exporter.send(batchFrom(0, 256, 256), NEVER))
  const refusals = [{ reason: 'invalid', events: 3, which: [17, 300, 301], message: says('400: no') }]
  assert.deepEqual(outcome, { status: 'partial', refusals })
  assert.ok(sink.requests.length < 60, `${sink.requests.length} requests`)
})

test('otlp exporter: a sink that finds fault with everything is held, not fed record by record', async () => {
  await using sink = await FakeSink.start(() => ({ status: 400, body: 'no' }))
  await using exporter = exporterFor(sink)
  await exporter.start()
  const outcome = plain(await exporter.send(batchFrom(0, 1000), NEVER))
  const refusals = [{ reason: 'invalid', events: 8, which: numbers(0, 8), message: says('400: no') }]
  assert.deepEqual(outcome, { status: 'retryable', afterMs: 0, taken: 8, unsure: 0, refusals, says: says('400: no') })
  assert.ok(sink.requests.length < 30, `${sink.requests.length} requests`)
})

/** Takes two at a time, refuses 1, and has no time for 5. */
function script(request: Received): Answer {
  const seqs = seqsOf(request)
  if (seqs.length > 2) return { status: 413 }
  if (seqs.includes(1)) return { status: 400 }
  return seqs.includes(5) ? { status: 503, headers: { 'retry-after': '2' } } : OK
}

test('otlp exporter: an interruption tells how many at the head are settled, and which of these were refused', async () => {
  await using sink = await FakeSink.start(script)
  await using exporter = exporterFor(sink)
  await exporter.start()
  assert.deepEqual(plain(await exporter.send(batchFrom(0, 8), NEVER)), {
    status: 'retryable',
    afterMs: 2000,
    taken: 4,
    unsure: 2,
    refusals: [{ reason: 'invalid', events: 1, which: [1], message: says('400') }],
    says: says('503'),
  })
})

test('otlp exporter: the fourth try after three 429 goes in halves, and the batch after it whole again', async () => {
  let burst = 4
  await using sink = await FakeSink.start((request) => (seqsOf(request).length > burst ? { status: 429 } : OK))
  await using exporter = exporterFor(sink)
  await exporter.start()
  const sent = batchFrom(0, 4, 4)
  for (let i = 0; i < 3; i++) assert.equal((await exporter.send(sent, NEVER)).status, 'retryable')
  assert.deepEqual(await exporter.send(sent, NEVER), { status: 'delivered' })
  burst = 100
  assert.deepEqual(await exporter.send(batchFrom(8, 8), NEVER), { status: 'delivered' })
  assert.deepEqual(
    sink.requests.map((request) => seqsOf(request).length),
    [8, 8, 8, 4, 4, 8],
  )
})

test('otlp exporter: requests share one connection, and one that the sink closed is replaced unseen', async () => {
  await using sink = await FakeSink.start()
  await using exporter = exporterFor(sink)
  await exporter.start()
  for (let i = 0; i < 5; i++) await exporter.send(batchFrom(i, 1), NEVER)
  assert.equal(sink.connections, 1)
  sink.dropConnections()
  assert.deepEqual(await exporter.send(batchFrom(5, 1), NEVER), { status: 'delivered' })
  assert.equal(sink.connections, 2)
})

test('otlp exporter: warnings of the sink are handed on, at most one a minute', async () => {
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

const impossible: ReadonlyArray<readonly [name: string, change: object, want: RegExp]> = [
  ['no URL', { endpoint: 'loki' }, /^ExportError: endpoint: expected an http or https URL, got "loki"$/],
  [
    'a certificate without its key',
    { tls: { certFile: '/c' } },
    /^ExportError: tls: expected a certificate with a key/,
  ],
  ['another scheme', { endpoint: 'grpc://x' }, /expected an http or https URL/],
  ['a header name with a space', { headers: { 'a b': 'x' } }, /^ExportError: headers\.a b: expected characters/],
  [
    'a header value with a line feed, which it does not repeat',
    { headers: { token: 'sec\nret' } },
    /^ExportError: headers\.token: expected characters that HTTP allows in a header$/,
  ],
]
for (const [name, change, want] of impossible) {
  test(`otlp exporter: ${name} is refused when it is made`, async () => {
    await using sink = await FakeSink.start()
    assert.throws(() => exporterFor(sink, change), want)
  })
}
