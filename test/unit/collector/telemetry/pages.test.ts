/** The agent's pages, requested as a program does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reading } from '../../../../collector/ingest/source.ts'
import { accessOf } from '../../../../collector/telemetry/access.ts'
import type { Answer } from '../../../../collector/telemetry/http.ts'
import { createPages } from '../../../../collector/telemetry/pages.ts'
import type { PageSources } from '../../../../collector/telemetry/pages.ts'
import { Sender, openSpool, systemSpoolFiles } from '../../../../exporters/index.ts'
import { systemClock } from '../../../../config/base/time/clock.ts'
import { until } from '../../exporters/support/fake-clock.ts'
import { enabledPolicies } from '../support/policies.ts'
import { emptyDelivery } from '../support/delivery.ts'
import { requestOf } from '../support/request.ts'
import { makeSources } from '../support/sources.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { FakeExporter, describedLines, rejected, retryable } from '../../exporters/support/lines.ts'
import { spoolOf } from '../../../support/exporter-config.ts'

const OPTIONS = {
  queue: { max_bytes: 10_000, max_events: 100, when_full: 'drop_newest' },
  batch: { max_events: 10, max_bytes: 1000, max_wait: 0 },
  retry: { initial: 3_600_000, max: 3_600_000 },
  timeout: 60_000,
  spool: spoolOf({ max_size: '1MiB' }),
} as const

function sources(senders: readonly Sender[]): PageSources {
  const metrics = makeSources({
    policies: enabledPolicies({ name: 'files', modes: ['fexit', 'join'], skipped: ['security_new'] }),
    events: () => [{ type: 'process_exec', policy: '', count: 3 }],
    losses: () => [{ hook: '*', reason: 'join_full', count: 2 }],
    filtered: () => new Map([['bus', { policies: 4 }]]),
  })
  const own = { token: 'of this run', file: '/run/ktrail/page-token' }
  const access = accessOf({ address: { host: '127.0.0.1', port: 2112 }, token: undefined, own })
  const delivery = emptyDelivery()
  const agent = { epoch: 'e1', nodeName: 'web-1', ready: () => true, reading: new Reading(), access, delivery }
  return { ...metrics, ...agent, senders: () => senders }
}

/** `authorization`: the client's header of that name. */
async function get(pages: ReturnType<typeof createPages>, target: string, authorization?: string): Promise<Answer> {
  const request = requestOf(target, { fields: authorization === undefined ? {} : { authorization } })
  const answer = await pages[request.path]?.(request)
  assert.ok(answer !== undefined && 'body' in answer)
  return answer
}

async function json(pages: ReturnType<typeof createPages>): Promise<Record<string, unknown>> {
  const answer = await get(pages, '/status')
  assert.deepEqual([answer.status, answer.type], [200, 'application/json'])
  return JSON.parse(String(answer.body))
}

const READY =
  'ready: 1 policy, 2 hooks\npolicy files: this kernel has no security_new, skipped until a module provides it\n'

test('pages: five pages are for programs', async () => {
  const pages = createPages(sources([]))
  const names = Object.keys(pages).filter((path) => path !== '/' && !path.includes('.'))
  assert.deepEqual(names, ['/livez', '/readyz', '/metrics', '/status', '/events'])
  assert.deepEqual(await get(pages, '/livez'), { status: 200, body: 'ok\n' })
  assert.deepEqual(await get(pages, '/readyz'), { status: 200, body: READY })
  assert.match(String((await get(pages, '/metrics')).body), /^ktrail_ring_records_total 7$/m)
  assert.equal((await get(pages, '/events')).status, 401)
})

test('pages: with a token configured, clients without it see only liveness, readiness and an empty status page', async () => {
  const access = accessOf({ address: { host: '0.0.0.0', port: 2112 }, token: 'open sesame', own: undefined })
  const pages = createPages({ ...sources([]), access })
  for (const sent of [undefined, 'Bearer open']) {
    assert.equal((await get(pages, '/livez', sent)).body, 'ok\n')
    assert.match(String((await get(pages, '/', sent)).body), /data-numbers="token" data-events="token"/)
    const ready = await get(pages, '/readyz', sent)
    assert.equal(ready.status, 200)
    assert.match(String(ready.body), /^ready; no details: this page requires the token of server\.token: /)
    for (const path of ['/metrics', '/status', '/events']) {
      const answer = await get(pages, path, sent)
      assert.equal(answer.status, 401)
      assert.equal(answer.headers?.['WWW-Authenticate'], 'Bearer')
      assert.match(
        String(answer.body),
        /^this page requires the token of server\.token: .*Authorization: Bearer TOKEN\n$/,
      )
    }
  }
  for (const sent of ['Bearer open sesame', 'bearer  open sesame']) {
    assert.equal((await get(pages, '/readyz', sent)).body, READY)
    for (const path of ['/metrics', '/status']) assert.equal((await get(pages, path, sent)).status, 200)
  }
})

test('status: the agent, its ring and its losses', async () => {
  const { started, uptime_seconds, resident_bytes, ...rest } = await json(createPages(sources([])))
  assert.ok(Math.abs(Date.parse(String(started)) + Number(uptime_seconds) * 1000 - Date.now()) < 60_000)
  assert.ok(Number(resident_bytes) > 10 << 20)
  assert.deepEqual(rest, {
    version: '1.2.3',
    node: 'v24',
    libbpf: 'v1.1',
    kernel: '6.12',
    node_name: 'web-1',
    pid: process.pid,
    ready: true,
    readiness: READY.trimEnd().split('\n'),
    epoch: 'e1',
    config: {
      hash: 'c0ffee',
      files: ['/etc/ktrail/ktrail.yaml'],
      since: '2023-11-14T22:13:20.000Z',
      reloads: { applied: 2, unchanged: 0, refused: 1 },
      last_refused: { time: '2023-11-14T22:13:21.000Z', reason: 'ktrail.yaml:1:1: no' },
    },
    event_loop_lag_seconds: { bounds: [1], counts: [0, 0], sum: 0 },
    policies: [
      {
        name: 'files',
        state: 'partially_enabled',
        hooks: 2,
        attached: { fexit: 1, join: 1 },
        call_not_found: ['security_new'],
        lacking: [],
        limited: [],
        events: 0,
      },
    ],
    events: [{ type: 'process_exec', policy: '', count: 3 }],
    ring: { records: 7, waiting_bytes: 64, returns_waiting: 5, imbalance: 0 },
    lost: [{ hook: '*', reason: 'join_full', count: 2 }],
    tampering: [],
    exporters: [],
  })
})

test('status: each exporter with its accounting, its chain and its spool', async () => {
  using folder = new Folder()
  const spool = {
    dir: folder.at('s'),
    fsync: 'never',
    max_size: 1 << 20,
    min_free: 0,
    segment_size: 16 << 20,
    epoch: 'e',
  } as const
  let call = 0
  const exporter = new FakeExporter(() => (call++ === 0 ? rejected('NotJSON') : retryable()))
  Object.assign(exporter, { learnedLimits: { max_line_size: 1200 } })
  const sender = new Sender('bus', exporter, OPTIONS, {
    openSpool: (onLoss) =>
      openSpool(spool, { files: systemSpoolFiles, clock: systemClock, random: Math.random, onLoss }),
  })
  // Runs even if an assertion fails, because the exporter would retry without end.
  await using ending = new AsyncDisposableStack()
  ending.defer(() => sender.stop(0))
  await sender.start()
  sender.offer(describedLines(0, 10))
  await until('the first batch is refused', () => call === 1)
  sender.offer(describedLines(10, 5))
  await until('the second is in the spool', () => (sender.stats().spool?.appended ?? 0) === 5)
  const { exporters } = await json(createPages(sources([sender])))
  assert.ok(Array.isArray(exporters))
  const [
    { dropped, requests, request_seconds, latency_seconds, oldest_age_ms, retry_wait_ms, spool: disk, ...reported },
  ] = exporters
  assert.deepEqual(reported, {
    name: 'bus',
    type: 'fake',
    learned_limits: { max_line_size: 1200 },
    accepted: 15,
    delivered: 0,
    delivered_bytes: 0,
    rejected: { NotJSON: 10 },
    state: 'retrying',
    held_events: 5,
    queue_events: 5,
    queue_bytes: reported.queue_bytes,
    retries: 0,
    duplicates_possible: 0,
    last_error: 'try again',
    imbalance: 0,
    filtered: { policies: 4 },
    last_success_ms: 0,
    in_flight: 0,
    concurrency_limit: 1,
    queue_limit_bytes: 10_000,
    queue_limit_events: 100,
  })
  assert.equal(dropped.queue_full, 0)
  assert.deepEqual([requests.permanent, requests.retry], [1, 1])
  assert.equal(request_seconds.counts.length, request_seconds.bounds.length + 1)
  assert.equal(latency_seconds.sum, 0)
  assert.ok(oldest_age_ms >= 0 && retry_wait_ms >= 0)
  assert.deepEqual([disk.appended, disk.limit_bytes, disk.failures.sync, disk.last_error], [5, 1 << 20, 0, ''])
})
