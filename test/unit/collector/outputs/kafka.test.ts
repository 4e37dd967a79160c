/** `type: kafka` of the config, as an exporter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { Config, KafkaExporterConfig } from '../../../../config/agent/schema.ts'
import { kafkaOptions, kafkaOutput, kafkaResourceOf } from '../../../../collector/outputs/kafka.ts'
import { otlpOutput } from '../../../../collector/outputs/otlp.ts'
import { createFanOut } from '../../../../collector/outputs/outputs.ts'
import { DEFAULT_KAFKA_OPTIONS, EncoderPool, ExportError } from '../../../../exporters/index.ts'
import type { KafkaOptions } from '../../../../exporters/index.ts'

const NEEDED = 'brokers: ["a:9092"], topic: t'
const NAMES = { nodeName: 'n', epoch: 'e' }

function exportersOf(keys: string): Config['exporters'] {
  const loaded = loadConfig(`exporters: { k: { type: kafka, ${keys} } }`, 'c.yaml', {}, () => 'hush')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  return loaded.config.exporters
}

function configOf(keys: string): KafkaExporterConfig {
  const { k } = exportersOf(keys)
  assert.ok(k?.type === 'kafka')
  return k
}

/** What was logged, one JSON line a message, and a context with that log. */
function logged(): { lines: string[]; context: Parameters<typeof kafkaOutput>[2] } {
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(line) })
  return { lines, context: { ...NAMES, encoders: new EncoderPool('n'), env: {}, log } }
}

test('kafka output: where the config says nothing, the defaults are those of the exporter', () => {
  assert.deepEqual(kafkaOptions(configOf(NEEDED), NAMES), {
    ...DEFAULT_KAFKA_OPTIONS,
    ...NAMES,
    brokers: ['a:9092'],
    topic: 't',
    codecPackage: undefined,
    configFile: undefined,
    tls: undefined,
    sasl: undefined,
  })
})

const ROWS: ReadonlyArray<readonly [keys: string, want: Partial<KafkaOptions>]> = [
  ['driver: platformatic', { driver: 'platformatic' }],
  ['client_id: c', { clientId: 'c' }],
  ['key: exec_id', { key: 'exec_id' }],
  ['format: cloudevents, cluster_name: prod', { format: 'cloudevents', clusterName: 'prod' }],
  ['compression: gzip', { compression: 'gzip' }],
  ['compression: lz4, codec: "npm:a-codec"', { compression: 'lz4', codecPackage: 'a-codec' }],
  ['acks: leader', { acks: 'leader' }],
  ['idempotent: true', { idempotent: true }],
  ['request_timeout: 5s', { requestTimeoutMs: 5000 }],
  ['max_request_size: 2MiB', { maxRequestBytes: 2 << 20 }],
  [
    'tls: { ca_file: /a, cert_file: /b, key_file: /c, server_name: d, insecure_skip_verify: true }',
    { tls: { caFile: '/a', certFile: '/b', keyFile: '/c', serverName: 'd', insecure: true } },
  ],
  [
    'sasl: { mechanism: scram-sha-256, username: u, password: "${file:/p}" }',
    { sasl: { mechanism: 'scram-sha-256', username: 'u', password: 'hush', passwordFile: undefined } },
  ],
  [
    'sasl: { mechanism: plain, username: u, password_file: /p }',
    { sasl: { mechanism: 'plain', username: 'u', password: undefined, passwordFile: '/p' } },
  ],
]
for (const [keys, want] of ROWS) {
  test(`kafka output: ${keys}`, () => {
    const plain = kafkaOptions(configOf(NEEDED), NAMES)
    assert.deepEqual(kafkaOptions(configOf(`${NEEDED}, ${keys}`), NAMES), { ...plain, ...want })
  })
}

test('kafka output: takes the JSON lines that files take, with what it must know of each event', async () => {
  const { context } = logged()
  const { exporter, encoder, describe } = await kafkaOutput('k', configOf(NEEDED), context)
  assert.deepEqual([exporter.type, exporter.maxConcurrency ?? 1, describe], ['kafka', 1, true])
  assert.equal(encoder, context.encoders.json())
})

test('kafka output: otlp_proto takes the records that an OTLP exporter takes, and says whose they are', async () => {
  const { lines, context } = logged()
  const env = {
    OTEL_SERVICE_NAME: 'mine',
    OTEL_RESOURCE_ATTRIBUTES: 'team=sec,broken',
    OTEL_EXPORTER_OTLP_TIMEOUT: 'x',
  }
  const config = configOf(`${NEEDED}, format: otlp_proto, otlp: { arg_labels: true, resource_attributes: { a: b } }`)
  const { exporter, encoder } = await kafkaOutput('k', config, { ...context, env })
  assert.deepEqual([exporter.encoding, encoder.encoding], ['otlp', 'otlp'])
  const otlp = { type: 'otlp', arg_labels: true }
  const loaded = loadConfig(`exporters: { o: ${JSON.stringify(otlp)} }`, 'c.yaml', {}, () => '')
  assert.ok('config' in loaded && loaded.config.exporters['o']?.type === 'otlp')
  assert.equal((await otlpOutput('o', loaded.config.exporters['o'], { ...context, env: {} })).encoder, encoder)
  const resource = kafkaResourceOf(config, env)
  assert.deepEqual(resource?.serviceName, { value: 'mine', origin: 'OTEL_SERVICE_NAME' })
  assert.deepEqual(resource.resourceAttributes, {
    team: { value: 'sec', origin: 'OTEL_RESOURCE_ATTRIBUTES' },
    a: { value: 'b', origin: 'config' },
  })
  // Variables of the way over HTTP are no matter of this exporter.
  assert.equal(lines.filter((line) => line.includes('OTEL_RESOURCE_ATTRIBUTES: a pair is left out')).length, 1)
  assert.ok(!lines.join('').includes('TIMEOUT'))
})

test('kafka output: warns of a password that travels readable, and shows none', async () => {
  const login = 'sasl: { mechanism: plain, username: u, password: hush }'
  for (const [keys, warns] of [
    [login, true],
    [`${login}, tls: {}`, false],
    [login.replace('plain', 'scram-sha-512'), false],
  ] as const) {
    const { lines, context } = logged()
    await kafkaOutput('k', configOf(`${NEEDED}, ${keys}`), context)
    assert.equal(lines.filter((line) => line.includes('sends the password readable')).length, warns ? 1 : 0, keys)
    assert.ok(!lines.join('').includes('hush'))
  }
})

test('kafka output: a certificate that can not be read stops the start, with a sentence', async () => {
  const { context } = logged()
  const fanOut = await createFanOut(exportersOf(`${NEEDED}, tls: { ca_file: /nowhere/ca.pem }`), context)
  await assert.rejects(
    fanOut.start(),
    (error) => error instanceof ExportError && error.message.startsWith(`tls.ca_file: cannot read "/nowhere/ca.pem"`),
  )
  await fanOut.stop(0)
})
