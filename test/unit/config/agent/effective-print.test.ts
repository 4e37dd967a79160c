/** `config print --effective` shows values from OTEL_* variables, with their source. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'

async function shown(
  exporter: string,
  env: Readonly<Record<string, string>>,
  flags = ['--effective'],
  errors?: string[],
): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-'))
  try {
    const file = join(folder, 'c.yaml')
    writeFileSync(join(folder, 'secret'), 'hush')
    writeFileSync(file, `exporters:\n  o: { ${exporter.replace('FOLDER', folder)} }\n  f: { type: file, path: /x }\n`)
    let text = ''
    const print = (all: string | Uint8Array): Promise<boolean> => {
      text += all.toString()
      return Promise.resolve(true)
    }
    const code = await ktrail(['config', 'print', ...flags, '--config', file], {
      env,
      print,
      printError: (line) => void (errors ?? assert.fail(line)).push(line),
      nowMs: () => 0,
    })
    assert.equal(code, 0)
    return text.split('\n').map((line) => line.trim())
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const PREFIX = 'OTEL_EXPORTER_OTLP_'
for (const [name, exporter, env, expected, absent] of [
  [
    'values that follow from others',
    'type: otlp, loki: true, spool: { dir: /s }, rate_limit: { events: 7 }',
    {},
    [
      'when_full: spool # default',
      'when_full: drop_newest # default',
      'max_age: 156h # default',
      'max: 1 # default',
      'burst: 7 # default',
      'watermark: 2MiB # default',
      `node_name: ${hostname()} # host name`,
    ],
    [],
  ],
  [
    'the name of the host from a variable',
    'type: stdout',
    { NODE_NAME: 'n1', HUBBLE_NODE_NAME: 'n2' },
    ['node_name: n2 # HUBBLE_NODE_NAME'],
    [],
  ],
  [
    'defaults',
    'type: otlp',
    {},
    [
      'logs_endpoint: http://localhost:4318/v1/logs # default',
      'compression: gzip # default',
      'request_timeout: 10s # default',
    ],
    [],
  ],
  [
    'variables',
    'type: otlp',
    { [`${PREFIX}ENDPOINT`]: 'http://c:1/x', [`${PREFIX}LOGS_TIMEOUT`]: '2500', OTEL_SERVICE_NAME: 's' },
    [
      `logs_endpoint: http://c:1/x/v1/logs # ${PREFIX}ENDPOINT`,
      `request_timeout: 2500ms # ${PREFIX}LOGS_TIMEOUT`,
      'service_name: s # OTEL_SERVICE_NAME',
    ],
    [],
  ],
  [
    'the config, which overrides variables',
    'type: otlp, endpoint: "http://own:1", compression: zstd',
    { [`${PREFIX}ENDPOINT`]: 'http://c:1', [`${PREFIX}COMPRESSION`]: 'gzip' },
    ['endpoint: http://own:1 # line 2', 'compression: zstd # line 2'],
    [/logs_endpoint/, /http:\/\/c/],
  ],
  [
    'headers, not their values',
    'type: otlp, headers: { a: hush }',
    { [`${PREFIX}HEADERS`]: 'authorization=hush', OTEL_RESOURCE_ATTRIBUTES: 'k=v' },
    ['a: "[redacted]" # line 2', `authorization: "[redacted]" # ${PREFIX}HEADERS`, 'k: v # OTEL_RESOURCE_ATTRIBUTES'],
    [/hush/],
  ],
  [
    'the spelling and the position of the config',
    'type: otlp, tenant: mine, headers: { X-Token: hush }, resource_attributes: { service.name: "${file:FOLDER/secret}" }',
    { OTEL_SERVICE_NAME: 's', [`${PREFIX}HEADERS`]: 'x-token=hush,x-scope-orgid=hush' },
    ['tenant: mine # line 2', 'X-Token: "[redacted]" # line 2', 'service.name: "[redacted]" # line 2, a file'],
    [/hush/, /x-token/, /service_name/, /x-scope/],
  ],
  [
    'the resource of OTLP records in Kafka',
    'type: kafka, brokers: ["a:1"], topic: t, format: otlp_proto, otlp: { resource_attributes: { a: b } }',
    { OTEL_SERVICE_NAME: 's', OTEL_RESOURCE_ATTRIBUTES: 'k=v', [`${PREFIX}ENDPOINT`]: 'http://c:1' },
    ['service_name: s # OTEL_SERVICE_NAME', 'k: v # OTEL_RESOURCE_ATTRIBUTES', 'a: b # line 2'],
    [/http:\/\/c/],
  ],
  [
    'the default contents of OTLP records in Kafka',
    'type: kafka, brokers: ["a:1"], topic: t, format: otlp_proto',
    {},
    ['otlp:', 'service_name: ktrail # default', 'body: json # default', 'lifecycle: info # default'],
    [],
  ],
  [
    'no OTEL_* values if Kafka gets JSON',
    'type: kafka, brokers: ["a:1"], topic: t',
    { OTEL_SERVICE_NAME: 's' },
    ['format: json # default'],
    [/OTEL/, /otlp/],
  ],
  [
    'a combination of config and variables that no config may have',
    'type: otlp, tls: { ca_file: /ca }',
    { [`${PREFIX}ENDPOINT`]: 'http://c:1' },
    [`logs_endpoint: http://c:1/v1/logs # ${PREFIX}ENDPOINT`, 'ca_file: "[redacted]" # line 2'],
    [],
  ],
] as const) {
  test(`config print --effective: shows ${name}`, async () => {
    const lines = await shown(exporter, env)
    for (const line of expected) assert.ok(lines.includes(line), `${line} in\n${lines.join('\n')}`)
    for (const pattern of absent) assert.doesNotMatch(lines.join('\n'), pattern)
  })
}

test('config print --effective: ignored variables are reported besides the config', async () => {
  const errors: string[] = []
  const env = { [`${PREFIX}ENDPOINT`]: 'http://me:hush@c', [`${PREFIX}TIMEOUT`]: '10s' }
  const lines = await shown('type: otlp', env, ['--effective'], errors)
  assert.ok(lines.includes('logs_endpoint: http://localhost:4318/v1/logs # default'), lines.join('\n'))
  assert.deepEqual(errors, [
    `exporters.o: ${PREFIX}ENDPOINT is ignored: expected an http or https URL without user and password, got a value that is not shown`,
    `exporters.o: ${PREFIX}TIMEOUT is ignored: expected whole milliseconds, at least 1 and at most 24 days, got "10s"`,
  ])
})

test('config print --effective: keys have the order of the schema, for any source', async () => {
  const lines = await shown('compression: zstd, type: otlp', { OTEL_SERVICE_NAME: 's' })
  const keys = ['type', 'logs_endpoint', 'protocol', 'encoder', 'compression', 'request_timeout', 'tls', 'service_name']
  const found = lines.map((line) => line.split(':')[0]).filter((key) => keys.includes(key ?? ''))
  assert.deepEqual(found.slice(0, keys.length), keys)
})

test('config print: without --effective shows the written keys only', async () => {
  const lines = await shown('type: otlp', { [`${PREFIX}ENDPOINT`]: 'http://c:1' }, [])
  assert.deepEqual(lines, ['exporters:', 'o:', 'type: otlp', 'f:', 'type: file', 'path: /x', ''])
})
