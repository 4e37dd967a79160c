/** `type: otlp`, from the text of a config to the requests at a sink. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { pino } from 'pino'
import { loadConfig } from '../../../../../config/agent/load.ts'
import type { Event } from '../../../../../exporters/contract/event.ts'
import { createFanOut } from '../../../../../exporters/start.ts'
import { version } from '../../../../../config/base/own.ts'
import { EncoderPool } from '../../../../../exporters/index.ts'
import type { FanOut, Sender } from '../../../../../exporters/index.ts'
import { seqOf } from '../../../../support/otlp/decode.ts'
import type { AnyValue, KeyValue } from '../../../../support/otlp/decode.ts'
import { FakeSink } from '../../../../support/otlp/server.ts'
import type { Received } from '../../../../support/otlp/server.ts'
import { makeExec, makeHook, makeKprobe } from '../../support/events.ts'
import { until } from '../../support/fake-clock.ts'
import { Folder } from '../../support/folder.ts'
import { numbers } from '../../support/lines.ts'

type Env = Readonly<Record<string, string>>

/** The exporters of a config, and their log. */
async function made(
  keys: string,
  env: Env = {},
  hostId?: string,
): Promise<{ readonly fanOut: FanOut; readonly logged: readonly Line[] }> {
  const loaded = loadConfig(`exporters: { o: { type: otlp, ${keys} } }`, 'c.yaml', env)
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const logged: Line[] = []
  const log = pino({ timestamp: false }, { write: (line) => void logged.push(JSON.parse(line) as Line) })
  const encoders = new EncoderPool('node-7')
  const context = { nodeName: 'node-7', hostId, epoch: 'e1', encoders, env, log }
  const fanOut = await createFanOut(loaded.config.exporters, context)
  return { fanOut, logged }
}

interface Line {
  readonly level: number
  readonly msg: string
  readonly [key: string]: unknown
}

/** The request that the sink receives for these events. */
async function sent(
  sink: FakeSink,
  keys: string,
  events: readonly Event[],
  env: Env = {},
  hostId?: string,
): Promise<Received> {
  const { fanOut } = await made(keys, env, hostId)
  await fanOut.start()
  assert.equal(fanOut.publish(events), undefined)
  await fanOut.stop(5_000)
  const [sender] = fanOut.senders
  assert.equal(sender?.accounting().delivered, events.length)
  assert.equal(sender?.imbalance(), 0)
  const [request] = sink.requests
  assert.ok(request !== undefined)
  return request
}

const named = (pairs: readonly KeyValue[]): Record<string, AnyValue> =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, value]))

const base = (sink: FakeSink): string => sink.url.replace('/v1/logs', '')

test('otlp output: an endpoint alone sends protobuf, gzipped, with resource and JSON body', async () => {
  await using sink = await FakeSink.start()
  const events = [makeExec({ seq: 0 }), makeExec({ seq: 1 })]
  const request = await sent(sink, `endpoint: "${base(sink)}/otlp/"`, events)
  assert.equal(request.path, '/otlp/v1/logs')
  assert.equal(request.headers['content-type'], 'application/x-protobuf')
  assert.equal(request.headers['content-encoding'], 'gzip')
  assert.equal(request.headers['user-agent'], `ktrail/${version()}`)
  const { records, resource } = request.logs()
  assert.deepEqual(named(resource), {
    'service.name': { stringValue: 'ktrail' },
    'service.version': { stringValue: version() },
    'service.instance.id': { stringValue: 'node-7' },
    'host.name': { stringValue: 'node-7' },
  })
  assert.deepEqual(records.map(seqOf), [0, 1])
  assert.match(JSON.stringify(records[0]?.body), /process_exec.*node-7/)
})

const HOST_ID = 'fdbf79e8af94cb7f9e8df36789187052'
const hostIds: ReadonlyArray<readonly [name: string, keys: string, env: Env, want: string]> = [
  ['the machine-id', '', {}, HOST_ID],
  ['the machine-id in JSON', ', protocol: http/json', {}, HOST_ID],
  ['the machine-id, with the encoder of the SDK', ', encoder: sdk', {}, HOST_ID],
  ["a cloud's id in the config", ', resource_attributes: { host.id: i-0abc }', {}, 'i-0abc'],
  ['a cloud’s id in a variable', '', { OTEL_RESOURCE_ATTRIBUTES: 'host.id=i-0abc' }, 'i-0abc'],
]
for (const [name, keys, env, want] of hostIds) {
  test(`otlp output: host.id is ${name}, once`, async () => {
    await using sink = await FakeSink.start()
    const request = await sent(sink, `endpoint: "${base(sink)}"${keys}`, [makeExec({ seq: 0 })], env, HOST_ID)
    const found = request.logs().resource.filter(({ key }) => key === 'host.id')
    assert.deepEqual(found, [{ key: 'host.id', value: { stringValue: want } }])
  })
}

test('otlp output: every key has its effect on the request', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('token'), 'Bearer hush\n')
  await using sink = await FakeSink.start()
  const keys = `logs_endpoint: "${sink.url}?a=b", protocol: http/json, compression: zstd, body: text, tenant: team-a,
    headers: { x-one: "1", authorization: "\${file:${folder.at('token')}}" }, header_files: { x-two: ${folder.at('token')} },
    service_name: eyes, resource_attributes: { team: red }, cluster_name: c1, arg_labels: true, event_name_attribute: true,
    severity: { policies: { p: error } }`
  const hook = makeHook({ policy: 'p' })
  const request = await sent(sink, keys, [makeKprobe({ seq: 0, hook })], { KUBERNETES_SERVICE_HOST: '10.0.0.1' })
  assert.equal(request.path, '/v1/logs?a=b')
  const { headers } = request
  assert.deepEqual(
    [headers['content-type'], headers['content-encoding'], headers['x-scope-orgid'], headers['x-one']],
    ['application/json', 'zstd', 'team-a', '1'],
  )
  assert.deepEqual([headers['authorization'], headers['x-two']], ['Bearer hush', 'Bearer hush'])
  const { records, resource, scope } = request.logs()
  assert.equal(scope.name, 'eyes.events')
  for (const [key, want] of [
    ['service.name', 'eyes'],
    ['k8s.node.name', 'node-7'],
    ['k8s.cluster.name', 'c1'],
    ['team', 'red'],
  ] as const) {
    assert.deepEqual(named(resource)[key], { stringValue: want })
  }
  const [record] = records
  assert.equal(record?.severityNumber, 17)
  assert.deepEqual(named(record.attributes)['event_name'], { stringValue: 'ktrail.process_kprobe' })
  assert.doesNotMatch(JSON.stringify(record.body), /node_name/)
})

test('otlp output: variables fill in missing keys of the config, and are logged', async () => {
  await using sink = await FakeSink.start()
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `${base(sink)}/?key=hush`,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-one=hush,x-two=2',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'none',
    OTEL_EXPORTER_OTLP_TIMEOUT: 'soon',
    OTEL_SERVICE_NAME: 'env',
  }
  const { logged } = await made('headers: { x-one: mine }', env)
  assert.deepEqual(
    logged.map(({ level, msg }) => [level, msg]),
    [
      [
        40,
        'OTEL_EXPORTER_OTLP_TIMEOUT is ignored: expected whole milliseconds, at least 1 and at most 24 days, got "soon"',
      ],
      [30, 'sends OTLP'],
    ],
  )
  const line = logged[1]
  assert.deepEqual([line?.['endpoint'], line?.['from']], [sink.url, 'OTEL_EXPORTER_OTLP_ENDPOINT'])
  assert.deepEqual(line?.['variables'], [
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'OTEL_EXPORTER_OTLP_HEADERS',
    'OTEL_EXPORTER_OTLP_COMPRESSION',
    'OTEL_SERVICE_NAME',
  ])
  assert.ok(!JSON.stringify(logged).includes('hush'))
  const request = await sent(sink, 'headers: { x-one: mine }', [makeExec({ seq: 0 })], env)
  assert.deepEqual([request.headers['x-one'], request.headers['x-two']], ['mine', '2'])
  assert.equal(request.headers['content-encoding'], undefined)
  assert.deepEqual(named(request.logs().resource)['service.name'], { stringValue: 'env' })
})

test('otlp output: keys of the config override variables, and then no variable is logged', async () => {
  const env = { OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'http://elsewhere/x', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }
  const { logged, fanOut } = await made('endpoint: "http://here:4318", protocol: http/protobuf', env)
  const [line] = logged
  assert.deepEqual(
    [line?.['endpoint'], line?.['from'], line?.['variables']],
    ['http://here:4318/v1/logs', 'config', []],
  )
  assert.equal(fanOut.senders[0]?.exporter.encoding, 'otlp')
})

const concurrency: ReadonlyArray<readonly [keys: string, want: number]> = [
  ['', 4],
  ['concurrency: { max: 3 }', 3],
  ['loki: true', 1],
  ['loki: { max_age: 1d }', 1],
  ['loki: false', 4],
  ['loki: true, concurrency: { max: 1 }', 1],
]
for (const [keys, want] of concurrency) {
  test(`otlp output: with ${keys === '' ? 'the default' : keys} at most ${want} requests at a time`, async () => {
    const { fanOut } = await made(keys)
    assert.equal(fanOut.senders[0]?.exporter.maxConcurrency, want)
  })
}

test("otlp output: Loki's limits are checked before sending, and valid events pass", async () => {
  await using sink = await FakeSink.start()
  const { fanOut } = await made(`endpoint: "${base(sink)}", loki: { max_age: 1h }`)
  await fanOut.start()
  const sec = Math.floor(Date.now() / 1000)
  const ages = [0, 7200, 60]
  fanOut.publish(ages.map((age, seq) => makeExec({ seq, time: { sec: sec - age, nsec: 0 } })))
  await fanOut.stop(5_000)
  const accounting = fanOut.senders[0]?.accounting()
  assert.deepEqual([accounting?.delivered, accounting?.rejected], [2, { too_old: 1 }])
  assert.deepEqual(
    sink.requests.flatMap((request) => request.logs().records.map(seqOf)),
    [0, 2],
  )
})

test('otlp output: a sink that rejects everything rejects eight events, then the rest is held', async () => {
  await using sink = await FakeSink.start(() => ({ status: 400, body: 'no' }))
  const { fanOut } = await made(`endpoint: "${base(sink)}", batch: { max_events: 100 }`)
  await fanOut.start()
  fanOut.publish(numbers(0, 1000).map((seq) => makeExec({ seq })))
  const accounting = (): ReturnType<Sender['accounting']> | undefined => fanOut.senders[0]?.accounting()
  await until('the sink is held', () => accounting()?.state === 'hold')
  assert.deepEqual([accounting()?.rejected, accounting()?.heldEvents], [{ invalid: 8 }, 992])
  await fanOut.stop(0)
})

for (const protocol of ['http/protobuf', 'http/json']) {
  test(`otlp output: encoder sdk sends the same as ktrail's own with ${protocol}`, async () => {
    const bodies: Buffer[] = []
    for (const encoder of ['ktrail', 'sdk']) {
      await using sink = await FakeSink.start()
      const events = numbers(0, 3).map((seq) => makeKprobe({ seq }))
      const keys = `endpoint: "${base(sink)}", encoder: ${encoder}, protocol: ${protocol}`
      const { body } = await sent(sink, keys, events)
      bodies.push(body)
    }
    const [own, sdk] = bodies
    // Not byte for byte: the observed times differ.
    assert.equal(own?.length, sdk?.length)
  })
}

test('otlp output: keys of the config override variables of another name', async () => {
  await using sink = await FakeSink.start()
  const env = { OTEL_EXPORTER_OTLP_HEADERS: 'X-Scope-OrgID=other', OTEL_SERVICE_NAME: 'other' }
  const keys = `endpoint: "${base(sink)}", tenant: mine, resource_attributes: { service.name: mine }`
  const request = await sent(sink, keys, [makeExec({ seq: 0 })], env)
  assert.equal(request.headers['x-scope-orgid'], 'mine')
  assert.deepEqual(named(request.logs().resource)['service.name'], { stringValue: 'mine' })
})

test('otlp output: a certificate without its key does not start', async () => {
  await assert.rejects(
    made('endpoint: "https://x", tls: { cert_file: /c }'),
    /^ExportError: exporters\.o: tls: expected cert_file and key_file together/,
  )
})
