/** `ktrail policy estimate` with the API of an agent without a kernel. test/e2e/one-agent has its accuracy on a real one. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { ResponseEncoder } from '../../../../../collector/api/events/encode.ts'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { Forecast } from '../../../../../collector/cli/policy/forecast.ts'
import { CPU_US_PER_EVENT } from '../../../../../collector/cli/policy/report.ts'
import { CollectorError } from '../../../../../collector/errors.ts'
import { GetEventsResponseSchema } from '../../../../../collector/proto/tetragon/events_pb.js'
import type { GetEventsResponse } from '../../../../../collector/proto/tetragon/events_pb.js'
import type { Policy } from '../../../../../config/policy/policy.ts'
import { createJsonEncoder } from '../../../../../exporters/index.ts'
import type { HookEvent } from '../../../../../exporters/contract/event.ts'
import { figure } from '../../../../bench/figures.ts'
import { until } from '../../../../e2e/support/wait.ts'
import { file, int, makeHook, makeKprobe, makeProcess } from '../../../exporters/support/events.ts'
import { Rig } from '../../api/support/rig.ts'
import { typed } from '../support/terminal.ts'
import type { Written } from '../support/terminal.ts'

const NODE = 'n'
const encoder = new ResponseEncoder(NODE)
const messageOf = (event: HookEvent): GetEventsResponse => fromBinary(GetEventsResponseSchema, encoder.encode(event))
const at = (seconds: number): HookEvent['time'] => ({ sec: Math.floor(seconds), nsec: (seconds % 1) * 1e9 })

/** Calls of the first policy that is estimated, from the first to the last second. */
function calls(count: number, [first, last]: readonly [number, number], change: Partial<HookEvent> = {}): HookEvent {
  return makeKprobe({
    hook: makeHook({ policy: 'watch-1', functionName: 'security_file_permission', private: true }),
    process: makeProcess({ binary: '/usr/bin/cat' }),
    args: [file('/etc/passwd'), int(4)],
    time: at(first),
    aggregate: { count, last: at(last) },
    ...change,
  })
}

const yaml = (name: string, hook = ''): string =>
  `apiVersion: ktrail.dev/v1alpha1
kind: TracingPolicy
metadata: { name: ${name} }
spec:
  kprobes:
    - { call: security_file_permission, syscall: false, args: [{ index: 0, type: file }]${hook} }
`
const KILLS = ', selectors: [{ matchActions: [{ action: Sigkill }] }]'

function written(rig: Rig, name: string, text: string): string {
  const path = rig.folder.at(name)
  writeFileSync(path, text)
  return path
}

const onRig = (rig: Rig, ...words: readonly string[]): Promise<Written> =>
  typed(['policy', ...words, '--server', `unix://${rig.path}`])

/** Runs the command; while it counts, publishes events; then the agent stops. */
async function estimating(rig: Rig, words: readonly string[], events: readonly HookEvent[]): Promise<Written> {
  const ended = onRig(rig, 'estimate', ...words)
  await Promise.race([until('the command counts', () => rig.api.readers.count > 0), ended])
  rig.delivery.publish(events)
  await rig.delivery.stop(0)
  return ended
}

interface Answer {
  readonly policies: ReadonlyArray<Readonly<Record<string, number>>>
  readonly paths: ReadonlyArray<{ readonly path: string; readonly events_per_second: number }>
  readonly programs: ReadonlyArray<{ readonly program: string; readonly events_per_second: number }>
}

test('policy estimate: counts of calls are events, and no reader or exporter gets them', async () => {
  await using rig = await Rig.start()
  const reader = rig.delivery.subscribe(undefined, { bytes: 1 << 20, events: 100 })
  const one = calls(1, [3, 3], {
    process: makeProcess({ binary: '/usr/bin/tail' }),
    args: [file('/etc/group'), int(4)],
  })
  const { code, stdout, stderr } = await estimating(
    rig,
    [written(rig, 'p.yaml', yaml('secret', KILLS)), '-o', 'json'],
    [calls(999, [1, 2]), one],
  )
  assert.equal(code, 0, stderr)
  const { policies, paths, programs } = JSON.parse(stdout) as Answer
  const {
    seconds = 0,
    events_per_second: rate = 0,
    cpu_percent: cpu = 0,
    bytes_per_second: bytes = 0,
  } = policies[0] ?? {}
  const near = (got: number, want: number): void => assert.ok(Math.abs(got - want) < 0.01 * want, `${got} ${want}`)
  near(rate * seconds, 1000)
  near(cpu, (rate * CPU_US_PER_EVENT) / 10_000)
  assert.ok(bytes / rate > 500 && bytes / rate < 2000)
  assert.deepEqual(
    [paths.map(({ path }) => path), programs.map(({ program }) => program)],
    [
      ['/etc/passwd', '/etc/group'],
      ['/usr/bin/cat', '/usr/bin/tail'],
    ],
  )
  near((paths[0]?.events_per_second ?? 0) * seconds, 999)
  assert.match(stderr, /policy secret: the agent has stopped: the estimate ends here/)
  for await (const { events } of reader) assert.deepEqual(events, [])
})

test('policy estimate: the policy counts, and neither kills nor refuses; before Linux 5.17 it reports', async () => {
  await using rig = await Rig.start()
  const tried: Policy[] = []
  rig.kernel.refuse = (policy) => {
    tried.push(policy)
    const counts = policy.hooks.some(({ aggregate }) => aggregate !== undefined)
    return counts ? new CollectorError('POLICY_REFUSED', 'aggregate needs Linux 5.17') : undefined
  }
  const { stdout } = await estimating(rig, [written(rig, 'p.yaml', yaml('secret', KILLS))], [])
  assert.deepEqual(
    tried.map(({ hooks }) => hooks.map(({ aggregate, selectors }) => [aggregate?.windowMs, selectors[0]?.actions])),
    [[[1000, undefined]], [[undefined, undefined]]],
  )
  assert.match(stdout, /^POLICY {2}EVENTS\/S {2}JSON LINES {2}AGENT CPU\nsecret {7}0\.0 {7}0 B\/s {6}0\.0 %\n$/)
})

test('policy estimate: ends after --for, with several policies and their sum, and with Ctrl-C', async () => {
  await using rig = await Rig.start()
  const files = ['a', 'b'].map((name) => written(rig, `${name}.yaml`, yaml(name)))
  const began = performance.now()
  const { stdout } = await onRig(rig, 'estimate', ...files, '--for', '1s')
  assert.match(stdout, /\na .*\nb .*\ntogether .*\n$/)
  assert.ok(performance.now() - began >= 1000)
  await until('the first call has ended', () => rig.api.readers.count === 0)
  // In a process with other tests, node:test listens, too.
  const others = process.listeners('SIGINT')
  const ended = onRig(rig, 'estimate', ...files, '--for', '1h', '-o', 'json')
  await until('the command counts', () => rig.api.readers.count === 2)
  for (const listener of process.listeners('SIGINT')) if (!others.includes(listener)) listener('SIGINT')
  const { code, stdout: json } = await ended
  assert.equal(code, 0)
  for (const { seconds } of (JSON.parse(json) as Answer).policies) assert.ok((seconds ?? 60) < 60, json)
  assert.deepEqual(process.listeners('SIGINT'), others)
  await until('the policies are removed', () => rig.kernel.names.length === 0)
})

test('policy estimate: waits as long for the next message as the last one was late', async () => {
  await using rig = await Rig.start()
  let stdout = ''
  // The time begins at 0; all messages come at 3.2 s.
  const times = [0]
  const ended = ktrail(
    ['policy', 'estimate', written(rig, 'p.yaml', yaml('secret')), '--for', '1s', '-o', 'json'].concat(
      '--server',
      `unix://${rig.path}`,
    ),
    {
      env: {},
      print: (text) => Promise.resolve(((stdout += text.toString()), true)),
      printError: () => {},
      nowMs: () => times.shift() ?? 3200,
    },
  )
  await until('the command counts', () => rig.api.readers.count > 0)
  const began = performance.now()
  rig.delivery.publish([calls(1, [0.2, 0.2])])
  await until('the second and a half after the time', () => performance.now() - began > 2800)
  rig.delivery.publish([calls(1, [0.3, 0.3])])
  await rig.delivery.stop(0)
  assert.equal(await ended, 0)
  const [policy] = (JSON.parse(stdout) as Answer).policies
  assert.equal((policy?.['events_per_second'] ?? 0) * (policy?.['seconds'] ?? 0), 2)
})

test('policy estimate: mistakes are printed, and a refusal is an error', async () => {
  await using rig = await Rig.start()
  const bad = await onRig(rig, 'estimate', written(rig, 'bad.yaml', yaml('bad').replace('kprobes', 'kprobs')))
  assert.equal(bad.code, 78)
  assert.match(bad.stdout, /bad\.yaml:\d+:\d+: .*kprobs/)
  const path = written(rig, 'p.yaml', yaml('secret'))
  for (const time of ['0s', '2h', '10'])
    await assert.rejects(onRig(rig, 'estimate', path, '--for', time), {
      message: `--for: expected a duration from 1s to 1h, got "${time}"`,
    })
  await assert.rejects(onRig(rig, 'estimate'), { message: 'policy estimate requires at least one file or folder' })
  await assert.rejects(onRig(rig, 'add', path, '--for', '5s'), { message: '--for requires --estimate' })
  rig.kernel.refuse = (policy) => new CollectorError('POLICY_REFUSED', `${policy.file}:6:7: no such function`)
  await assert.rejects(onRig(rig, 'estimate', path), { message: `${path}:6:7: no such function` })
  assert.deepEqual(rig.policies.list(), [])
})

test('policy add --estimate: warns above 100 events/s and adds the policies', async () => {
  await using rig = await Rig.start()
  const files = ['many', 'few'].map((name) => written(rig, `${name}.yaml`, yaml(name)))
  const ended = onRig(rig, 'add', '--estimate', '--for', '1s', ...files)
  await until('the command counts', () => rig.api.readers.count === 2)
  const of = (policy: string, count: number): HookEvent =>
    calls(count, [0.1, 0.9], { hook: makeHook({ policy, private: true }) })
  rig.delivery.publish([of('watch-1', 5000), of('watch-2', 50)])
  const { code, stderr } = await ended
  assert.equal(code, 0)
  assert.deepEqual(
    stderr.split('\n').filter((each) => !each.startsWith('ktrail: ')),
    [
      'warning: policy many: expected at most 100 events/s, got an estimate of 5,000 events/s, most on /etc/passwd by /usr/bin/cat; narrow its selectors',
      'policy many added',
      'policy few added',
      '',
    ],
  )
})

test('forecast: calls outside of the time do not count', () => {
  const rows: ReadonlyArray<readonly [name: string, want: number, spans: readonly [number, number], count: number]> = [
    ['inside', 10, [101, 102], 10],
    ['over its end', 5, [109, 111], 10],
    ['over its begin', 5, [99, 101], 10],
    ['over both', 10, [95, 115], 20],
    ['before', 0, [98, 99], 10],
    ['after', 0, [110.5, 111], 10],
    ['one call', 1, [101, 101], 1],
  ]
  for (const [name, want, spans, count] of rows) {
    const forecast = new Forecast('p', false)
    forecast.begin(100_000)
    forecast.end(10_000)
    const lateMs = want > 0 ? Math.max(0, 105_000 - spans[1] * 1000) : undefined
    assert.equal(forecast.add(messageOf(calls(count, spans)), 105_000), lateMs, name)
    assert.ok(Math.abs(forecast.events - want) < 1e-6, `${name}: ${forecast.events}`)
    assert.ok(Math.abs(forecast.rate(forecast.events) - want / 10) < 1e-6, name)
  }
})

test('forecast: bytes are those of the JSON lines of an exporter', () => {
  const { aggregate, ...event } = calls(3, [1, 2])
  const forecast = new Forecast('p', false)
  forecast.begin(0)
  forecast.add(messageOf({ ...event, aggregate: aggregate ?? { count: 0, last: event.time } }), 0)
  const line = createJsonEncoder({ nodeName: NODE }).encode([event]).bytes
  assert.ok(Math.abs(forecast.bytes / 3 / line.length - 1) < 0.05, `${forecast.bytes / 3} ${line.length}`)
})

test('forecast: a policy that aggregates has an event a count', () => {
  const forecast = new Forecast('p', true)
  forecast.begin(0)
  forecast.add(messageOf(calls(500, [1, 2])), 0)
  assert.equal(forecast.events, 1)
})

test('forecast: lost messages have the average of the others', () => {
  const forecast = new Forecast('p', false)
  forecast.begin(0)
  for (let i = 0; i < 10; i++) forecast.add(messageOf(calls(4, [1, 2])), 0)
  forecast.add(fromBinary(GetEventsResponseSchema, encoder.lost(30, at(1))), 0)
  forecast.end(10_000)
  assert.equal(forecast.lost, 30)
  assert.equal(forecast.rate(forecast.events), 16)
})

test('forecast: memory is bounded, and a file without a path has none', () => {
  const forecast = new Forecast('p', false)
  forecast.begin(0)
  for (let i = 0; i < 3000; i++) {
    const process = makeProcess({ binary: `/tmp/${i}` })
    forecast.add(messageOf(calls(1, [1, 1], { process, args: [file(`/tmp/file ${i}`), file('')] })), 0)
  }
  assert.deepEqual([forecast.paths.list().length, forecast.programs.list().length, forecast.events], [512, 512, 3000])
  assert.ok(forecast.paths.list().every(({ key }) => key !== ''))
})

test('forecast: an agent with another clock is refused', () => {
  const forecast = new Forecast('p', false)
  forecast.begin(0)
  assert.throws(() => forecast.add(messageOf(calls(1, [3600, 3600])), 0), {
    message: /^cannot estimate: .* got a difference of 3600 s; run the command on the agent's host$/,
  })
})

test('policy estimate: the CPU of an event is the measured one', () => {
  const results = JSON.parse(readFileSync(new URL('../../../../bench/results.json', import.meta.url), 'utf8'))
  const measured = figure(results, 'pace > 5,000 events/s to OTLP, gzip-1') / 100 / 5000
  assert.ok(Math.abs((CPU_US_PER_EVENT * 1e-6) / measured - 1) < 0.25, `${CPU_US_PER_EVENT} µs, measured ${measured} s`)
})
