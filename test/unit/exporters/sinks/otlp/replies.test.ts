/** The outcome for each reply of the sink. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Outcome } from '../../../../../exporters/contract/exporter.ts'
import { FakeSink, OK, partialSuccess, rpcStatus } from '../../../../support/otlp/server.ts'
import type { Answer } from '../../../../support/otlp/server.ts'
import { NEVER, batchFrom, exporterFor, plain, reply } from './support.ts'

async function answered(answer: Answer): Promise<Outcome> {
  await using sink = await FakeSink.start(() => answer)
  await using exporter = exporterFor(sink, {}, { random: () => 0.5 })
  await exporter.start()
  return await exporter.send(batchFrom(0, 3, 2), NEVER)
}

const json = { 'content-type': 'application/json' }
const html = { 'content-type': 'text/html' }
const protobuf = { 'content-type': 'application/x-protobuf' }
const gzip = { 'content-encoding': 'gzip' }
const LOGIN = '<!DOCTYPE html><title>Log in</title>'
/** A success status without an OTLP answer. */
const no = (status: number, got: string): object => ({
  status: 'hold',
  message: reply(`${status}: expected an OTLP response, got "${got}"; check that the endpoint is an OTLP receiver`),
})
const PARTIAL = '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"x"}}'
const NO_REASON = 'the sink refused records of an accepted request without a reason'
/** Entry by entry, before the total. */
const BEHIND =
  `entry with timestamp 2026-11-24 14:03:09.123456789 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp \
is: 2026-11-24T14:03:09Z, oldest acceptable timestamp is: 2026-11-24T15:03:09Z',\n`.repeat(11)
const rows: ReadonlyArray<readonly [name: string, answer: Answer, want: object]> = [
  ['200 with an empty body', OK, { status: 'delivered' }],
  ['200 with {}', { status: 200, body: '{}', headers: json }, { status: 'delivered' }],
  ['200 with {} as the answer to protobuf', { status: 200, body: '{}' }, { status: 'delivered' }],
  ['200 with {} and the type of a page', { status: 200, body: '{}', headers: html }, { status: 'delivered' }],
  ['200 with an empty partial success', { status: 200, body: '{"partialSuccess":{}}' }, { status: 'delivered' }],
  ['200 with null', { status: 200, body: '{"partialSuccess":null}' }, { status: 'delivered' }],
  ['200 with one in protobuf', { status: 200, body: Buffer.of(0x0a, 0) }, { status: 'delivered' }],
  [
    '200 with known and unknown members',
    { status: 200, body: '{"took":3,"partialSuccess":{}}' },
    { status: 'delivered' },
  ],
  ['200 with known and unknown fields', { status: 200, body: Buffer.of(0x0a, 0, 0x10, 1) }, { status: 'delivered' }],
  ['200 with {} in gzip', { status: 200, body: gzipSync('{}'), headers: gzip }, { status: 'delivered' }],
  ['200 with nothing in gzip', { status: 200, body: gzipSync(''), headers: gzip }, { status: 'delivered' }],
  ['202', { status: 202 }, { status: 'delivered' }],
  ['204, as Loki', { status: 204 }, { status: 'delivered' }],
  [
    'a partial success',
    { status: 200, body: partialSuccess(2, 'two were bad') },
    { status: 'partial', refusals: [{ reason: 'partial', events: 2, message: 'two were bad' }] },
  ],
  [
    'a partial success in JSON, the number as text',
    { status: 200, body: PARTIAL, headers: json },
    { status: 'partial', refusals: [{ reason: 'partial', events: 1, message: 'x' }] },
  ],
  [
    'a partial success in JSON after white space',
    { status: 200, body: ` \n${PARTIAL}`, headers: json },
    { status: 'partial', refusals: [{ reason: 'partial', events: 1, message: 'x' }] },
  ],
  [
    'a partial success in JSON after a mark of the byte order',
    { status: 200, body: `\ufeff${PARTIAL}`, headers: json },
    { status: 'partial', refusals: [{ reason: 'partial', events: 1, message: 'x' }] },
  ],
  [
    'a partial success that is longer than the bytes read',
    { status: 200, body: partialSuccess(2, 'y'.repeat(100_000)) },
    { status: 'partial', refusals: [{ reason: 'partial', events: 2, message: 'y'.repeat(2000) }] },
  ],
  [
    'one in JSON that is longer than the bytes read',
    { status: 200, body: PARTIAL.replace('x', 'y'.repeat(100_000)), headers: json },
    { status: 'partial', refusals: [{ reason: 'partial', events: 1, message: NO_REASON }] },
  ],
  [
    'a partial success in JSON with the names of the .proto file',
    { status: 200, body: '{"partial_success":{"rejected_log_records":"1","error_message":"x"}}', headers: json },
    { status: 'partial', refusals: [{ reason: 'partial', events: 1, message: 'x' }] },
  ],
  [
    'a partial success in gzip',
    { status: 200, body: gzipSync(partialSuccess(2, 'two were bad')), headers: gzip },
    { status: 'partial', refusals: [{ reason: 'partial', events: 2, message: 'two were bad' }] },
  ],
  [
    'a 404 in gzip',
    { status: 404, body: gzipSync('404 page not found'), headers: gzip },
    { status: 'hold', message: reply('404: 404 page not found; check the endpoint') },
  ],
  ['a long body that is nothing', { status: 200, body: '{'.padEnd(100_000, ' ') }, no(200, '{')],
  ['a body that is nothing', { status: 200, body: '\xff\xff\xff' }, no(200, '\xff\xff\xff')],
  ['a login page', { status: 200, body: LOGIN, headers: html }, no(200, LOGIN)],
  ['a login page with the content type of protobuf', { status: 200, body: LOGIN, headers: protobuf }, no(200, LOGIN)],
  ['a login page with 202', { status: 202, body: LOGIN }, no(202, LOGIN)],
  ['a login page in gzip', { status: 200, body: gzipSync(LOGIN), headers: gzip }, no(200, LOGIN)],
  ['a long page', { status: 200, body: '<p>'.repeat(50_000) }, no(200, `${'<p>'.repeat(50_000).slice(0, 200)}…`)],
  ['OK', { status: 200, body: 'OK' }, no(200, 'OK')],
  ['a line end', { status: 200, body: '\n' }, no(200, '')],
  [
    'accepted, which is a field of protobuf that nobody knows',
    { status: 200, body: 'accepted\n' },
    no(200, 'accepted'),
  ],
  ['an error in JSON', { status: 200, body: '{"status":"error"}', headers: json }, no(200, '{"status":"error"}')],
  ['a list in JSON', { status: 200, body: '[]', headers: json }, no(200, '[]')],
  ['a text in JSON', { status: 200, body: '"OK"', headers: json }, no(200, '"OK"')],
  [
    'a partial success that is a text',
    { status: 200, body: '{"partialSuccess":"no"}' },
    no(200, '{"partialSuccess":"no"}'),
  ],
  ['an error in protobuf', { status: 200, body: rpcStatus('no such tenant') }, no(200, 'no such tenant')],
  ['a partial success in protobuf that is damaged', { status: 200, body: '\x0a\x05hello' }, no(200, 'hello')],
  ['a warning without rejection', { status: 200, body: partialSuccess(0, 'slow down') }, { status: 'delivered' }],
  [
    'more rejected than sent',
    { status: 200, body: partialSuccess(900, '') },
    { status: 'rejected', reason: 'partial', message: NO_REASON },
  ],
  [
    '260: blocked',
    { status: 260, body: rpcStatus('ingestion blocked') },
    { status: 'hold', message: reply('260: ingestion blocked; allow this tenant to write again') },
  ],
  ['201', { status: 201 }, { status: 'rejected', reason: 'unexpected_status', message: reply('201') }],
  ['302', { status: 302, headers: { location: '/x' } }, { status: 'hold', message: reply('302; check the endpoint') }],
  [
    '401',
    { status: 401, body: rpcStatus('who') },
    { status: 'hold', message: reply('401: who; check the credentials') },
  ],
  ['403', { status: 403 }, { status: 'hold', message: reply('403; check the credentials') }],
  [
    '404',
    { status: 404, body: '404 page not found' },
    { status: 'hold', message: reply('404: 404 page not found; check the endpoint') },
  ],
  ['405', { status: 405 }, { status: 'hold', message: reply('405; check the endpoint') }],
  ['407', { status: 407 }, { status: 'hold', message: reply('407; check the credentials') }],
  ['408', { status: 408 }, { status: 'hold', message: reply('408; check the endpoint') }],
  ['415', { status: 415 }, { status: 'hold', message: reply('415; check the endpoint') }],
  ['429', { status: 429 }, { status: 'retryable', unacknowledged: 0, afterMs: 500, message: reply('429') }],
  [
    '429 with seconds',
    { status: 429, headers: { 'retry-after': '7' } },
    { status: 'retryable', unacknowledged: 0, afterMs: 7000, message: reply('429') },
  ],
  [
    '429 with nonsense',
    { status: 429, headers: { 'retry-after': 'soon' } },
    { status: 'retryable', unacknowledged: 0, afterMs: 500, message: reply('429') },
  ],
  [
    "Loki's 429 of one stream",
    { status: 429, body: rpcStatus('Per stream rate limit exceeded') },
    { status: 'retryable', unacknowledged: 5, afterMs: 500, message: reply('429: Per stream rate limit exceeded') },
  ],
  [
    '503 with a day',
    { status: 503, headers: { 'retry-after': '86400' } },
    { status: 'retryable', unacknowledged: 5, afterMs: 86_400_000, message: reply('503') },
  ],
  [
    '503 with a date gone by',
    { status: 503, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } },
    { status: 'retryable', unacknowledged: 5, afterMs: 0, message: reply('503') },
  ],
  [
    '500',
    { status: 500, body: '{"code":13,"message":"oh"}', headers: json },
    { status: 'retryable', unacknowledged: 5, message: reply('500: oh') },
  ],
  [
    '500 with another JSON',
    { status: 500, body: '{"error":"oh"}' },
    { status: 'retryable', unacknowledged: 5, message: reply('500: {"error":"oh"}') },
  ],
  [
    '502',
    { status: 502, body: '<html>\u0000bad' },
    { status: 'retryable', unacknowledged: 5, message: reply('502: <html> bad') },
  ],
  ['504', { status: 504 }, { status: 'retryable', unacknowledged: 5, message: reply('504') }],
  [
    '400 about the content type',
    { status: 400, body: rpcStatus('content type: x is not supported') },
    { status: 'hold', message: reply('400: content type: x is not supported') },
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
          message: reply("400: entry ignored, reason: 'entry too far behind', total ignored: 3 out of 5"),
        },
      ],
    },
  ],
  [
    "Loki's 400 with a count at the end of a long text",
    { status: 400, body: rpcStatus(`${BEHIND}user 'fake', total ignored: 4 out of 5 for stream: {}`) },
    {
      status: 'partial',
      refusals: [
        {
          reason: 'too_far_behind',
          events: 4,
          message: reply(`400: ${BEHIND.slice(0, 2000)}`),
        },
      ],
    },
  ],
  [
    'a connection reset',
    { status: 200, fault: 'reset' },
    { status: 'retryable', unacknowledged: 5, message: 'POST http://SINK/v1/logs: read ECONNRESET' },
  ],
  [
    'a reply that breaks off',
    { status: 200, headers: { 'content-length': '10' }, fault: 'cut' },
    { status: 'retryable', unacknowledged: 5, message: 'POST http://SINK/v1/logs: aborted' },
  ],
  [
    '101, which was not requested',
    { status: 101, fault: 'upgrade' },
    {
      status: 'retryable',
      unacknowledged: 5,
      message: 'POST http://SINK/v1/logs: closed the connection without an answer',
    },
  ],
  [
    '100 Continue again and again',
    { status: 100, fault: 'continue' },
    {
      status: 'retryable',
      unacknowledged: 5,
      message: 'POST http://SINK/v1/logs: expected an answer, got more than 16 that are only informational (1xx)',
    },
  ],
  ['a reply without end', { status: 200, fault: 'endless' }, no(200, `${'x'.repeat(200)}…`)],
]
for (const [name, answer, want] of rows) {
  test(`otlp reply: ${name} is ${'status' in want ? want.status : ''}`, async () => {
    assert.deepEqual(plain(await answered(answer)), want)
  })
}

/** Texts of a 400 that applies to every request of ours. */
const ours = [
  'unsupported Content-Encoding: zstd',
  'gzip: invalid header',
  'flate: corrupt input before offset 5',
  'proto: wrong wireType = 0 for field ResourceLogs',
  "couldn't parse push request: proto: illegal tag 0 (wire type 0)",
  'unexpected EOF',
  'no org id',
  'multiple org IDs present',
  "tenant ID 'a/b' contains unsupported character '/'",
  "stream '{}' includes structured metadata, but this feature is disallowed",
  'missing required labels env',
  'error at least one label pair is required per stream',
  'error at least one valid stream is required for ingestion',
  'entry for stream \'{a="b"}\' has 16 label names; limit 15',
  "stream '{a=\"b\"}' has label name too long: 'a'",
  "stream '{a=\"b\"}' has label value too long: 'b'",
]
for (const text of ours) {
  test(`otlp reply: a 400 with "${text}" holds`, async () => {
    assert.deepEqual(plain(await answered({ status: 400, body: rpcStatus(text) })), {
      status: 'hold',
      message: reply(`400: ${text}`),
    })
  })
}

const UNCODED = 'set compression: none if the sink does not take gzip'
for (const [answer, message] of [
  [{ status: 415 }, reply(`415; ${UNCODED}, or check the endpoint`)],
  [
    { status: 400, body: 'unsupported Content-Encoding: gzip' },
    reply(`400: unsupported Content-Encoding: gzip; ${UNCODED}`),
  ],
  [{ status: 400, body: 'gzip: invalid header' }, reply(`400: gzip: invalid header; ${UNCODED}`)],
  [{ status: 400, body: 'no org id' }, reply('400: no org id')],
  [{ status: 404 }, reply('404; check the endpoint')],
] as const) {
  test(`otlp reply: ${message.slice(message.indexOf('answered'))}`, async () => {
    await using sink = await FakeSink.start(() => answer)
    await using exporter = exporterFor(sink, { compression: 'gzip' })
    await exporter.start()
    assert.deepEqual(plain(await exporter.send(batchFrom(0, 3), NEVER)), { status: 'hold', message })
  })
}

test('otlp reply: Retry-After as a date is kept', async () => {
  const date = new Date(Date.now() + 60_000).toUTCString()
  const outcome = await answered({ status: 503, headers: { 'retry-after': date } })
  assert.ok(outcome.status === 'retryable' && outcome.afterMs !== undefined)
  assert.ok(outcome.afterMs > 50_000 && outcome.afterMs <= 60_000, `${outcome.afterMs}`)
})
