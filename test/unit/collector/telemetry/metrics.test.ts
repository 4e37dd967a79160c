/** The page of metrics: it has every number of docs/reference/metrics.md, with the right value, in Prometheus' text format. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NOTHING_DONE } from '../../../../collector/kernel/actions/acted.ts'
import { LoopLag } from '../../../../collector/telemetry/metrics/loop-lag.ts'
import { createMetrics } from '../../../../collector/telemetry/metrics/metrics.ts'
import type { MetricSources } from '../../../../collector/telemetry/metrics/metrics.ts'
import { Reloads } from '../../../../collector/policies/reloads.ts'
import { Histogram, Sender } from '../../../../exporters/index.ts'
import type { SenderStats } from '../../../../exporters/index.ts'
import { GuardedExporter } from '../../../../exporters/sinks/npm/guarded.ts'
import { parsePrometheus } from '../../../support/prometheus.ts'
import type { Sample } from '../../../support/prometheus.ts'
import { FakeClock, settle } from '../../exporters/support/fake-clock.ts'
import { enabledPolicies } from '../support/policies.ts'
import { makeSources } from '../support/sources.ts'
import { spec } from '../support/specs.ts'
import { FakeExporter, lines, rejected, retryable } from '../../exporters/support/lines.ts'

type Reported = ReturnType<MetricSources['senders']>[number]

const OPTIONS = {
  queue: { max_bytes: 10_000, max_events: 100, when_full: 'drop_newest' },
  batch: { max_events: 10, max_bytes: 1000, max_wait: 0 },
  retry: { initial: 1000, max: 10_000 },
  timeout: 60_000,
} as const

const lag = new Histogram([0.001, 1])
const reloads = new Reloads()

function sources(change: Partial<MetricSources> = {}): MetricSources {
  return makeSources({
    events: () => [
      { type: 'process_exec', policy: '', count: 3 },
      { type: 'process_kprobe', policy: 'odd "name"\\\n', count: 4 },
      { type: 'events_lost', policy: '', count: 1 },
    ],
    losses: () => [{ hook: '*', reason: 'join_full', count: 0 }],
    fallbacks: () => ({ path_raced: 2 }),
    kubernetes: () =>
      new Map([
        ['pods', { listed: true, problem: undefined }],
        ['tracingpolicies.cilium.io', { listed: true, problem: 'away' }],
      ]),
    listening: () => [
      { server: 'http', problem: 'held' },
      { server: 'http_socket', problem: undefined },
    ],
    processes: {
      size: 6,
      budget: {
        bytes: { images: 600, texts: 60, renderings: 6 },
        limitBytes: 5000,
        evictions: { renderings: 3, arguments: 2, images: 1 },
        hasRoom: true,
      },
    },
    policies: enabledPolicies(
      {
        name: 'whole',
        modes: ['fexit', 'join'],
        done: [
          { hook: 1, selector: 2, label: 'odd "label"', posts: 5, done: { ...NOTHING_DONE, sigkill: 3 } },
          { hook: 0, selector: 0, label: '', posts: 6, done: NOTHING_DONE },
        ],
      },
      { name: 'part', modes: ['fexit'], skipped: ['security_new'] },
    ),
    reloads,
    loopLag: () => lag,
    ...change,
  })
}

async function page(change: Partial<MetricSources> = {}): Promise<ReturnType<typeof parsePrometheus>> {
  return parsePrometheus(await createMetrics(sources(change)).text())
}

/** The samples of a family as `label value …=number`. */
async function shown(name: string, change: Partial<MetricSources> = {}): Promise<string[]> {
  const family = (await page(change)).find((one) => one.name === name)
  assert.ok(family !== undefined, `no metric ${name}`)
  const text = ({ labels, value }: Sample): string => `${Object.values(labels).join(' ')}=${value}`
  return family.samples.map(text)
}

interface Rig {
  readonly sender: Sender
  readonly clock: FakeClock
}

async function rig(name: string, exporter: FakeExporter): Promise<Rig> {
  const clock = new FakeClock()
  const sender = new Sender(name, exporter, OPTIONS, { clock, random: () => 0.5 })
  await sender.start()
  return { sender, clock }
}

/** A sender with a spool whose numbers a test chooses. */
function spooled(spool: Partial<NonNullable<SenderStats['spool']>>): Reported {
  const sender = new Sender('disk', new FakeExporter(), OPTIONS, { clock: new FakeClock() })
  const syncs = new Histogram([0.1])
  syncs.add(0.05)
  const whole: SenderStats['spool'] = {
    events: 1,
    outEvents: 0,
    bytes: 2,
    segments: 3,
    durable: 10,
    settled: 4,
    end: 12,
    oldestMs: 5000,
    recovered: 0,
    appended: 0,
    acked: 0,
    lost: { spool_full: 0, expired: 0, corrupt: 0 },
    corruptBytes: 6,
    corruptFrames: 5,
    tornBytes: 7,
    possiblyLost: 8,
    syncs: 1,
    syncSeconds: syncs,
    quarantinedFiles: 13,
    failures: { read: 0, write: 0, sync: 9, cursor: 11 },
    lastError: '',
    imbalance: 0,
    limitBytes: 100,
    ...spool,
  }
  return {
    name: 'disk',
    exporter: sender.exporter,
    ownCounters: sender.ownCounters,
    accounting: () => sender.accounting(),
    imbalance: () => sender.imbalance(),
    stats: () => ({ ...sender.stats(), spool: whole }),
  }
}

test('metrics: the page is valid with no exporter, and with two of them running', async () => {
  assert.ok((await page()).length > 30)
  const ok = await rig('with "quotes" and \\', new FakeExporter())
  const bad = await rig('bad', new FakeExporter(() => rejected('no')))
  for (const { sender } of [ok, bad]) sender.offer(lines(0, 25))
  await settle()
  const families = await page({ senders: () => [ok.sender, bad.sender, spooled({})] })
  const names = new Set(families.flatMap(({ samples }) => samples.map(({ labels }) => labels['exporter'])))
  assert.deepEqual(names, new Set([undefined, 'ring', 'with "quotes" and \\', 'bad', 'disk']))
})

test('metrics: names, help and labels keep the rules', async () => {
  const families = await page({ senders: () => [spooled({})] })
  const allowed = [
    'exporter',
    'reason',
    'outcome',
    'state',
    'what',
    'filter',
    'type',
    'policy',
    'hook',
    'action',
    'kind',
    'encoding',
    'resource',
    'namespace',
    'selector',
    'label',
    'server',
  ]
  const labels = new Set([...allowed, 'le', 'result', 'version', 'node', 'libbpf', 'kernel', 'hash'])
  for (const { name, help, type, samples } of families) {
    assert.match(name, /^ktrail_[a-z_]+$/)
    assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    assert.match(help, /^[A-Z1].{15,}\.$/s, `help of ${name}`)
    for (const sample of samples) {
      for (const label of Object.keys(sample.labels)) assert.ok(labels.has(label), `label ${label} of ${name}`)
    }
  }
})

const PLAIN: ReadonlyArray<readonly [name: string, want: readonly string[]]> = [
  ['ktrail_build_info', ['1.2.3 v24 v1.1 6.12=1']],
  ['ktrail_events_read_total', ['process_exec =3', 'process_kprobe odd "name"\\\n=4', 'events_lost =1']],
  ['ktrail_ring_records_total', ['=7']],
  ['ktrail_ring_limit_bytes', ['=4096']],
  ['ktrail_process_table_limit_bytes', ['=5000']],
  ['ktrail_hook_suppressed_total', ['files security_file_permission=7']],
  [
    'ktrail_hook_actions_total',
    [
      'nopost=3',
      'rate_limited=4',
      'signal=0',
      'sigkill=2',
      'override=0',
      'notify_enforcer=0',
      'monitor_signal=0',
      'monitor_sigkill=0',
      'monitor_override=0',
      'monitor_notify_enforcer=0',
      'not_done=0',
    ].map((each) => `files security_file_permission ${each}`),
  ],
  [
    'ktrail_selector_actions_total',
    [
      'post=5',
      'nopost=0',
      'rate_limited=0',
      'signal=0',
      'sigkill=3',
      'override=0',
      'notify_enforcer=0',
      'monitor_signal=0',
      'monitor_sigkill=0',
      'monitor_override=0',
      'monitor_notify_enforcer=0',
      'not_done=0',
    ].map((each) => `whole f1 2 odd "label" ${each}`),
  ],
  ['ktrail_hook_aggregated_total', ['reads vfs_read=999999']],
  ['ktrail_hook_events_total', ['files security_file_permission=9']],
  ['ktrail_hook_runs_total', ['security_file_permission=2']],
  ['ktrail_hook_run_seconds_total', ['security_file_permission=3']],
  ['ktrail_kernel_statistics', ['=1']],
  ['ktrail_kernel_lost_events_total', ['* join_full=0']],
  ['ktrail_kernel_fallbacks_total', ['path_raced=2']],
  ['ktrail_ring_waiting_bytes', ['=64']],
  ['ktrail_returns_waiting', ['=5']],
  ['ktrail_kubernetes_watch_up', ['pods=1', 'tracingpolicies.cilium.io=0']],
  ['ktrail_server_listening', ['http=0', 'http_socket=1']],
  ['ktrail_processes', ['=6']],
  ['ktrail_accounting_imbalance_events', ['ring=0']],
  ['ktrail_config_hash_info', ['c0ffee=1']],
  ['ktrail_config_reloads_total', ['applied=2', 'unchanged=0', 'refused=1']],
  ['ktrail_config_last_reload_success_timestamp_seconds', ['=1700000000']],
  ['ktrail_policy_reloads_total', ['ok=0', 'refused=0']],
  ['ktrail_api_readers', ['=2']],
  ['ktrail_api_sent_events_total', ['=11']],
  ['ktrail_api_lost_events_total', ['=3']],
]
for (const [name, want] of PLAIN) {
  test(`metrics: ${name} shows the value of its source`, async () => assert.deepEqual(await shown(name), want))
}

test('metrics: events that filters removed, by exporter and filter', async () => {
  const filtered = (): ReadonlyMap<string, Record<string, number>> =>
    new Map([
      ['loki', { policies: 3, sampling: 0 }],
      ['bus', {}],
    ])
  assert.deepEqual(await shown('ktrail_events_filtered_total', { filtered }), ['loki policies=3', 'loki sampling=0'])
})

test('metrics: accounting and requests of an exporter that delivers, rejects and drops', async () => {
  let call = 0
  const exporter = new FakeExporter(() => (call++ === 0 ? { status: 'delivered' } : rejected('too_large')))
  const { sender } = await rig('x', exporter)
  sender.offer(lines(0, 20, 10))
  await settle()
  const senders = (): readonly Reported[] => [sender]
  const of = (name: string): Promise<string[]> => shown(`ktrail_exporter_${name}`, { senders })
  assert.deepEqual(await of('info'), ['x fake json=1'])
  assert.deepEqual(await of('accepted_events_total'), ['x=20'])
  assert.deepEqual(await of('delivered_events_total'), ['x=10'])
  assert.deepEqual(await of('delivered_bytes_total'), ['x=100'])
  assert.deepEqual(await of('rejected_events_total'), ['x too_large=10'])
  assert.deepEqual(
    (await of('dropped_events_total')).filter((text) => text.startsWith('x queue_full')),
    ['x queue_full=0'],
  )
  assert.deepEqual(await of('requests_total'), [
    'x ok=1',
    'x partial=0',
    'x retry=0',
    'x timeout=0',
    'x permanent=1',
    'x config=0',
  ])
  assert.deepEqual(
    (await of('state')).filter((text) => text.endsWith('=1')),
    ['x healthy=1'],
  )
  assert.equal((await of('request_duration_seconds')).at(-1), 'x=2')
  // One value for each delivered event.
  assert.equal((await of('event_latency_seconds')).at(-1), 'x=10')
  assert.deepEqual(await of('last_success_timestamp_seconds'), [`x=${new FakeClock().wallMs() / 1000}`])
})

test('metrics: invalid counters of a package do not break the page', async () => {
  let counters: unknown = {}
  const inner = {
    type: 'x',
    encoding: 'json' as const,
    start: () => Promise.resolve(),
    send: () => Promise.resolve({ status: 'delivered' as const }),
    stop: () => Promise.resolve(),
    get counters(): never {
      if (counters === undefined) throw new Error('no counters today')
      return counters as never
    },
  }
  const exporter = new GuardedExporter('npm:x', inner, { warn: () => {} })
  const sender = new Sender('x', exporter, OPTIONS, { clock: new FakeClock() })
  const rows: ReadonlyArray<readonly [counters: unknown, want: readonly string[]]> = [
    [{ made: 5, depth: -1, half: Number.NaN, endless: Infinity, text: '7', none: null, big: 7n }, ['x made=5']],
    [{ made: 2 }, ['x made=2']],
    [undefined, []],
    [null, []],
    ['text', []],
  ]
  const metrics = createMetrics(sources({ senders: () => [sender] }))
  for (const [given, want] of rows) {
    counters = given
    const family = parsePrometheus(await metrics.text()).find(({ name }) => name === 'ktrail_exporter_own_total')
    const shownNow = family?.samples.map(({ labels, value }) => `${Object.values(labels).join(' ')}=${value}`)
    assert.deepEqual(shownNow, want)
  }
})

test('metrics: an exporter whose sink is down shows its held events, their age, and its wait', async () => {
  const { sender, clock } = await rig('x', new FakeExporter(() => retryable()))
  sender.offer(lines(0, 5, 10))
  await settle()
  await clock.turn(200)
  const senders = (): readonly Reported[] => [sender]
  const of = (name: string): Promise<string[]> => shown(`ktrail_exporter_${name}`, { senders })
  assert.deepEqual(await of('queue_events'), ['x=5'])
  assert.deepEqual(await of('duplicates_possible_total'), ['x=0'])
  assert.deepEqual(await of('queue_bytes'), ['x=50'])
  assert.deepEqual(await of('held_events'), ['x=5'])
  assert.deepEqual(await of('queue_limit_bytes'), ['x=10000'])
  assert.deepEqual(await of('queue_limit_events'), ['x=100'])
  assert.deepEqual(await of('oldest_event_age_seconds'), ['x=0.2'])
  assert.deepEqual(await of('retry_wait_seconds'), ['x=0.5'])
  assert.deepEqual(await of('concurrency_limit'), ['x=1'])
  assert.deepEqual(await of('in_flight_requests'), ['x=0'])
  assert.deepEqual(await of('last_success_timestamp_seconds'), ['x=0'])
  assert.deepEqual(
    (await of('state')).filter((text) => text.endsWith('=1')),
    ['x retrying=1'],
  )
})

const SPOOL: ReadonlyArray<readonly [name: string, want: readonly string[]]> = [
  ['bytes', ['disk=2']],
  ['limit_bytes', ['disk=100']],
  ['segments', ['disk=3']],
  ['events', ['disk=1']],
  ['unsafe_events', ['disk=2']],
  ['oldest_segment_timestamp_seconds', ['disk=5']],
  ['corrupt_bytes_total', ['disk=6']],
  ['corrupt_frames_total', ['disk=5']],
  ['truncated_bytes_total', ['disk=7']],
  ['possibly_lost_events_total', ['disk=8']],
  ['quarantined_files_total', ['disk=13']],
  ['sync_failures_total', ['disk=9']],
  ['cursor_failures_total', ['disk=11']],
  ['fsync_duration_seconds', ['disk 0.1=1', 'disk +Inf=1', 'disk=0.05', 'disk=1']],
]
for (const [name, want] of SPOOL) {
  test(`metrics: ktrail_spool_${name} shows the value of the spool`, async () => {
    const senders = (): readonly Reported[] => [spooled({})]
    assert.deepEqual(await shown(`ktrail_spool_${name}`, { senders }), want)
  })
}

test('metrics: an exporter without a spool has no samples of one, an empty spool no age', async () => {
  const { sender } = await rig('x', new FakeExporter())
  assert.deepEqual(await shown('ktrail_spool_bytes', { senders: () => [sender] }), [])
  const empty = [spooled({ oldestMs: undefined })]
  assert.deepEqual(await shown('ktrail_spool_oldest_segment_timestamp_seconds', { senders: () => empty }), [])
})

test('metrics: each request reads the current values, and changes nothing', async () => {
  let records = 1
  const metrics = createMetrics(sources({ records: () => records }))
  const read = async (): Promise<string | undefined> =>
    /^ktrail_ring_records_total (\d+)$/m.exec(await metrics.text())?.[1]
  assert.deepEqual([await read(), await read()], ['1', '1'])
  records = 5
  assert.equal(await read(), '5')
})

test('metrics: memory, processor time and start of the agent are plausible', async () => {
  const number = async (name: string): Promise<number> => Number((await shown(name))[0]?.slice(1))
  assert.ok((await number('ktrail_process_resident_memory_bytes')) > 10 << 20)
  assert.ok((await number('ktrail_process_cpu_seconds_total')) > 0)
  const start = await number('ktrail_process_start_time_seconds')
  assert.ok(start > Date.now() / 1000 - 3600 && start <= Date.now() / 1000)
})

test('metrics: changes of policy files are counted from the start on, with the time of the last', () => {
  const counted = new Reloads()
  counted.count('added')
  counted.begin()
  const begun = counted.lastMs
  assert.deepEqual(counted.counts, { ok: 0, refused: 0 })
  assert.ok(begun > Date.now() - 60_000)
  for (const change of ['added', 'replaced', 'removed', 'refused'] as const) counted.count(change)
  assert.deepEqual(counted.counts, { ok: 3, refused: 1 })
  assert.ok(counted.lastMs >= begun)
})

test('metrics: the event loop’s lag is the delay of a timer, one value each time it fires', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let nowMs = 0
  using late = new LoopLag(() => nowMs)
  for (const at of [100, 203, 1303]) {
    late.working()
    nowMs = at
    t.mock.timers.tick(100)
  }
  const { counts, bounds, sum } = late.seconds
  assert.deepEqual(
    counts.flatMap((n, i) => (n === 0 ? [] : [`${bounds[i]}:${n}`])),
    ['0.001:1', '0.005:1', '1:1'],
  )
  assert.ok(Math.abs(sum - 1.003) < 1e-9)
})

test('metrics: the timer of the event loop’s lag stops with the work, and starts again with it', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let nowMs = 0
  const late = new LoopLag(() => nowMs)
  const values = (): number => late.seconds.counts.reduce((sum, n) => sum + n, 0)
  const pass = (ms: number): void => {
    for (let i = 0; i < ms; i += 100) {
      nowMs += 100
      t.mock.timers.tick(100)
    }
  }
  pass(1000)
  assert.equal(values(), 0)
  late.working()
  pass(10_000)
  assert.equal(values(), 2)
  late.working()
  pass(100)
  late.working()
  pass(10_000)
  assert.equal(values(), 2 + 3)
  assert.ok(late.seconds.sum < 1e-9, 'idle time is no lag')
  late.working()
  late[Symbol.dispose]()
  late.working()
  pass(10_000)
  assert.equal(values(), 5)
})

test('metrics: hooks are counted by policy, including hooks that the kernel lacks', async () => {
  assert.deepEqual(await shown('ktrail_policy_hooks'), [
    'whole loaded=2',
    'whole call_not_found=0',
    'whole lacking=0',
    'part loaded=1',
    'part call_not_found=1',
    'part lacking=0',
  ])
})

test('metrics: the severity of a policy is that of its tag; other tags make no sample', async () => {
  const policies = enabledPolicies(
    { name: 'low', specs: [spec(), spec({ tags: ['x', 'severity.low'] })] },
    { name: 'none', specs: [spec({ tags: ['severity.other', 'severity.__proto__', 'constructor'] })] },
    { name: 'twice', specs: [spec({ tags: ['severity.low'] })] },
    { name: 'twice', specs: [spec({ tags: ['severity.critical', 'severity.high'] })] },
  )
  assert.deepEqual(await shown('ktrail_policy_info', { policies }), ['low low=1', 'twice critical=1'])
})
