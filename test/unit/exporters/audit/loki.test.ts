/** Loki by its HTTP API. The server here answers in pages as Loki does; test/integration-host/loki-container.test.ts has a real one. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { Audit } from '../../../../exporters/audit/audit.ts'
import { lokiSource } from '../../../../exporters/audit/loki.ts'
import { ExportError } from '../../../../exporters/contract/errors.ts'

const NOW_MS = 1_790_000_000_000
const OPTIONS = { env: {}, sinceMs: undefined, nowMs: NOW_MS, signal: new AbortController().signal, heard: () => {} }

interface Server extends AsyncDisposable {
  readonly host: string
  readonly asked: URLSearchParams[]
}

/** `entries`: labels by time in nanoseconds. */
async function serve(
  entries: ReadonlyArray<readonly [ns: bigint, labels: object]>,
  answer?: { status: number; body: string },
): Promise<Server> {
  const asked: URLSearchParams[] = []
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://x').searchParams
    asked.push(query)
    if (answer !== undefined) return response.writeHead(answer.status).end(answer.body)
    const [from, to] = [BigInt(query.get('start') ?? 0), BigInt(query.get('end') ?? 0)]
    const page = entries.filter(([ns]) => ns >= from && ns < to).slice(0, Number(query.get('limit')))
    const result = page.map(([ns, stream]) => ({ stream, values: [[String(ns), 'line']] }))
    return response.end(JSON.stringify({ status: 'success', data: { resultType: 'streams', result } }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    host: `127.0.0.1:${port}`,
    asked,
    [Symbol.asyncDispose]: () => new Promise((resolve) => void server.close(() => resolve())),
  }
}

const at = (seconds: number): bigint => BigInt(NOW_MS - 3_000_000 + seconds * 1000) * 1_000_000n
const labels = (number: number, more: object = {}): object => ({
  service_instance_id: 'n',
  log_record_uid: `run1-${number}`,
  ktrail_exporter_seq: `loki-${number}`,
  ...more,
})
const STOP = { ktrail_run_phase: 'stop', ktrail_run_previous: '', ktrail_run_heartbeat_ms: '60000' }

async function audited(server: Server): Promise<ReturnType<Audit['report']>> {
  const audit = new Audit()
  const source = lokiSource(`loki://${server.host}?{service_name="ktrail"}`, OPTIONS)
  for await (const record of source()) if (typeof record === 'object') audit.add(record)
  return audit.report({ nowMs: NOW_MS, partial: false })
}

test('loki audit: reads page by page, also across records with the same time, and finds what is missing', async () => {
  const all = Array.from({ length: 1300 }, (_, i): [bigint, object] => {
    return [at(Math.floor(i / 3)), labels(i, i === 1299 ? STOP : {})]
  })
  await using server = await serve(all)
  const [whole] = await audited(server)
  assert.deepEqual([whole?.whole, whole?.runs[0]?.records, whole?.runs[0]?.twice], [true, 1300, 0])
  assert.equal(server.asked.length, 3)
  assert.equal(server.asked[0]?.get('query'), '{service_name="ktrail"}')
  await using lacking = await serve(all.toSpliced(700, 2))
  assert.deepEqual((await audited(lacking))[0]?.runs[0]?.untold, [{ first: 700, last: 701 }])
})

test('loki audit: a loss record explains a gap', async () => {
  const loss = {
    ktrail_loss_stage: 'exporter',
    ktrail_loss_exporter: 'loki',
    ktrail_loss_reason: 'expired',
    ktrail_loss_count: '2',
    ktrail_loss_first_exporter_seq: '1',
    ktrail_loss_last_exporter_seq: '2',
  }
  await using server = await serve([
    [at(0), labels(0)],
    [at(1), labels(3, loss)],
    [at(2), labels(4, STOP)],
  ])
  const [stream] = await audited(server)
  assert.equal(stream?.whole, true)
  assert.deepEqual(stream.runs[0]?.told, [{ first: 1, last: 2, reason: 'expired' }])
})

for (const [name, status, body, want] of [
  ['an error of the server', 400, 'parse error', /expected status 200, got 400: parse error$/],
  ['an answer that is no JSON', 200, '<html>', /^cannot read http.*JSON/],
  ['an answer without streams', 200, '{"data":{"result":5}}', /expected data\.result with streams$/],
] as const) {
  test(`loki audit: refused with a message: ${name}`, async () => {
    await using server = await serve([], { status, body })
    await assert.rejects(audited(server), (error) => error instanceof ExportError && want.test(error.message))
  })
}

test('loki audit: refused with a message: an address without a query, more than a page of one time', async () => {
  assert.throws(() => lokiSource('loki://h:3100', OPTIONS), /expected an address such as loki:/)
  assert.throws(() => lokiSource('loki://h:x?{a="b"}', OPTIONS), /expected an address such as loki:/)
  await using server = await serve(Array.from({ length: 600 }, (_, i): [bigint, object] => [at(0), labels(i)]))
  await assert.rejects(audited(server), /more than 500 records with the same time/)
})

test('loki audit: pages that are too large are requested again in smaller ones, and one record has a bound', async () => {
  const large = { body: 'x'.repeat(40_000) }
  const all = Array.from({ length: 300 }, (_, i): [bigint, object] => [at(i), labels(i, i < 299 ? large : STOP)])
  await using server = await serve(all)
  const [whole] = await audited(server)
  assert.deepEqual([whole?.whole, whole?.runs[0]?.records], [true, 300])
  assert.deepEqual(
    server.asked.slice(0, 3).map((query) => query.get('limit')),
    ['500', '125', '125'],
  )
  await using endless = await serve([], { status: 200, body: ' '.repeat(9 << 20) })
  await assert.rejects(
    audited(endless),
    /^ExportError: cannot read .*: expected an answer of at most 8388608 bytes, got more$/,
  )
  assert.deepEqual(
    endless.asked.map((query) => query.get('limit')),
    ['500', '125', '32', '8', '2', '1'],
  )
})
