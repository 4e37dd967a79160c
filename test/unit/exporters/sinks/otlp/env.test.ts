import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveOtlpOptions } from '../../../../../exporters/sinks/otlp/env.ts'
import type { OtlpConfigValues, ResolvedOtlp } from '../../../../../exporters/sinks/otlp/env.ts'

const P = 'OTEL_EXPORTER_OTLP_'
type Env = Readonly<Record<string, string>>

const endpoints: ReadonlyArray<
  readonly [name: string, config: OtlpConfigValues, env: Env, want: string, origin: string]
> = [
  ['nothing', {}, {}, 'http://localhost:4318/v1/logs', 'default'],
  ['a base', { endpoint: 'http://loki:3100/otlp' }, {}, 'http://loki:3100/otlp/v1/logs', 'config'],
  ['a base that ends in a slash', { endpoint: 'http://c:4318/' }, {}, 'http://c:4318/v1/logs', 'config'],
  ['a whole address', { logsEndpoint: 'http://c/in', endpoint: 'http://d' }, {}, 'http://c/in', 'config'],
  ['the general variable', {}, { [`${P}ENDPOINT`]: 'https://e:1/x/' }, 'https://e:1/x/v1/logs', `${P}ENDPOINT`],
  [
    'the variable for logs, as it is',
    {},
    { [`${P}LOGS_ENDPOINT`]: 'http://e/x', [`${P}ENDPOINT`]: 'http://f' },
    'http://e/x',
    `${P}LOGS_ENDPOINT`,
  ],
  ['the variable for logs without path', {}, { [`${P}LOGS_ENDPOINT`]: 'http://e' }, 'http://e/', `${P}LOGS_ENDPOINT`],
  [
    'config and variables',
    { endpoint: 'http://c' },
    { [`${P}LOGS_ENDPOINT`]: 'http://e' },
    'http://c/v1/logs',
    'config',
  ],
  ['an empty variable', {}, { [`${P}ENDPOINT`]: ' ' }, 'http://localhost:4318/v1/logs', 'default'],
  [
    'a variable with a password',
    {},
    { [`${P}LOGS_ENDPOINT`]: 'http://me:hush@e', [`${P}ENDPOINT`]: 'http://f' },
    'http://f/v1/logs',
    `${P}ENDPOINT`,
  ],
  [
    'a variable for logs that is no URL',
    {},
    { [`${P}LOGS_ENDPOINT`]: 'loki', [`${P}ENDPOINT`]: 'http://f' },
    'http://f/v1/logs',
    `${P}ENDPOINT`,
  ],
  ['a config that is no URL', { endpoint: 'loki' }, {}, 'loki', 'config'],
]
for (const [name, config, env, value, origin] of endpoints) {
  test(`otlp env: endpoint of ${name}`, () => {
    assert.deepEqual(resolveOtlpOptions(config, env).endpoint, { value, origin })
  })
}

const TLS: OtlpConfigValues = { endpoint: 'https://x' }

type Simple = 'compression' | 'timeoutMs' | 'protocol' | 'caFile' | 'certFile' | 'keyFile' | 'serviceName'
const values: ReadonlyArray<readonly [key: Simple, config: OtlpConfigValues, env: Env, want: ResolvedOtlp[Simple]]> = [
  ['compression', {}, {}, { value: 'gzip', origin: 'default' }],
  ['compression', {}, { [`${P}COMPRESSION`]: 'none' }, { value: 'none', origin: `${P}COMPRESSION` }],
  [
    'compression',
    {},
    { [`${P}COMPRESSION`]: 'none', [`${P}LOGS_COMPRESSION`]: 'GZIP' },
    { value: 'gzip', origin: `${P}LOGS_COMPRESSION` },
  ],
  ['compression', {}, { [`${P}COMPRESSION`]: 'brotli' }, { value: 'gzip', origin: 'default' }],
  ['compression', { compression: 'zstd' }, { [`${P}COMPRESSION`]: 'none' }, { value: 'zstd', origin: 'config' }],
  ['timeoutMs', {}, {}, { value: 10_000, origin: 'default' }],
  ['timeoutMs', {}, { [`${P}TIMEOUT`]: '2500' }, { value: 2500, origin: `${P}TIMEOUT` }],
  ['timeoutMs', {}, { [`${P}TIMEOUT`]: '10s' }, { value: 10_000, origin: 'default' }],
  ['timeoutMs', {}, { [`${P}TIMEOUT`]: '0x10' }, { value: 10_000, origin: 'default' }],
  ['timeoutMs', {}, { [`${P}TIMEOUT`]: '0.5' }, { value: 10_000, origin: 'default' }],
  ['timeoutMs', {}, { [`${P}TIMEOUT`]: '0' }, { value: 10_000, origin: 'default' }],
  // 24 days, the most that a timer takes, and a millisecond more.
  ['timeoutMs', {}, { [`${P}TIMEOUT`]: '2073600000' }, { value: 2_073_600_000, origin: `${P}TIMEOUT` }],
  ['timeoutMs', {}, { [`${P}TIMEOUT`]: '2073600001' }, { value: 10_000, origin: 'default' }],
  ['timeoutMs', {}, { [`${P}LOGS_TIMEOUT`]: '-1', [`${P}TIMEOUT`]: '7' }, { value: 7, origin: `${P}TIMEOUT` }],
  ['protocol', {}, {}, { value: 'http/protobuf', origin: 'default' }],
  ['protocol', {}, { [`${P}PROTOCOL`]: 'http/json' }, { value: 'http/json', origin: `${P}PROTOCOL` }],
  ['protocol', {}, { [`${P}PROTOCOL`]: 'grpc' }, { value: 'http/protobuf', origin: 'default' }],
  ['caFile', {}, {}, undefined],
  ['caFile', TLS, { [`${P}CERTIFICATE`]: '/ca' }, { value: '/ca', origin: `${P}CERTIFICATE` }],
  ['caFile', {}, { [`${P}CERTIFICATE`]: '/ca' }, undefined],
  [
    'certFile',
    { ...TLS, keyFile: '/k' },
    { [`${P}LOGS_CLIENT_CERTIFICATE`]: '/c' },
    { value: '/c', origin: `${P}LOGS_CLIENT_CERTIFICATE` },
  ],
  ['certFile', TLS, { [`${P}CLIENT_CERTIFICATE`]: '/c' }, undefined],
  ['keyFile', TLS, { [`${P}CLIENT_KEY`]: '/k' }, undefined],
  // A fault of the config's own, for the exporter to refuse.
  ['certFile', { ...TLS, certFile: '/own' }, {}, { value: '/own', origin: 'config' }],
  ['keyFile', { keyFile: '/own' }, { [`${P}CLIENT_KEY`]: '/k' }, { value: '/own', origin: 'config' }],
  ['serviceName', {}, { OTEL_SERVICE_NAME: 'x'.repeat(256) }, { value: 'ktrail', origin: 'default' }],
  ['serviceName', {}, { OTEL_RESOURCE_ATTRIBUTES: 'service.name=' }, { value: 'ktrail', origin: 'default' }],
  [
    'serviceName',
    { resourceAttributes: { 'service.name': 'own' } },
    { OTEL_SERVICE_NAME: 'b' },
    { value: 'own', origin: 'config' },
  ],
  [
    'serviceName',
    { serviceName: 'first', resourceAttributes: { 'service.name': 'own' } },
    {},
    { value: 'first', origin: 'config' },
  ],
  ['serviceName', {}, {}, { value: 'ktrail', origin: 'default' }],
  [
    'serviceName',
    {},
    { OTEL_RESOURCE_ATTRIBUTES: 'service.name=a' },
    { value: 'a', origin: 'OTEL_RESOURCE_ATTRIBUTES' },
  ],
  [
    'serviceName',
    {},
    { OTEL_SERVICE_NAME: 'b', OTEL_RESOURCE_ATTRIBUTES: 'service.name=a' },
    { value: 'b', origin: 'OTEL_SERVICE_NAME' },
  ],
]
for (const [key, config, env, want] of values) {
  test(`otlp env: ${key} of ${JSON.stringify({ ...config, ...env })}`, () => {
    assert.deepEqual(resolveOtlpOptions(config, env)[key], want)
  })
}

test('otlp env: headers are merged name by name, whatever their case; the nearest wins', () => {
  const env = {
    [`${P}HEADERS`]: 'A=general,b=general,c=gen%20eral',
    [`${P}LOGS_HEADERS`]: 'B=logs, d=x=y',
  }
  assert.deepEqual(resolveOtlpOptions({ headers: { a: 'own' } }, env).headers, {
    a: { value: 'own', origin: 'config' },
    b: { value: 'logs', origin: `${P}LOGS_HEADERS` },
    c: { value: 'gen eral', origin: `${P}HEADERS` },
    d: { value: 'x=y', origin: `${P}LOGS_HEADERS` },
  })
})

test('otlp env: resource attributes come from config and environment, the service name apart', () => {
  const env = { OTEL_RESOURCE_ATTRIBUTES: 'team=a,zone=z%2C1,service.name=s' }
  assert.deepEqual(resolveOtlpOptions({ resourceAttributes: { team: 'b' } }, env).resourceAttributes, {
    team: { value: 'b', origin: 'config' },
    zone: { value: 'z,1', origin: 'OTEL_RESOURCE_ATTRIBUTES' },
  })
})

test('otlp env: what is left out is said, and nothing repeated that may be a secret', () => {
  const env = {
    [`${P}HEADERS`]: 'secret%ZZ=1,=2,x,bad name=hush,token=hu%0Ash,euro=%E2%82%AC,ok=1',
    [`${P}TIMEOUT`]: 'soon',
    [`${P}COMPRESSION`]: 'br',
    [`${P}ENDPOINT`]: 'htps://me:hush@x',
    [`${P}CERTIFICATE`]: '/ca',
    OTEL_SERVICE_NAME: 'x'.repeat(300),
    OTEL_RESOURCE_ATTRIBUTES: `service.name=${'x'.repeat(300)}`,
  }
  const { warnings, headers } = resolveOtlpOptions({}, env)
  assert.deepEqual(headers, { ok: { value: '1', origin: `${P}HEADERS` } })
  const pair = `${P}HEADERS: a pair is left out: expected key=value, percent-encoded`
  const header = `${P}HEADERS: a pair is left out: expected name and value as HTTP allows them in a header`
  assert.deepEqual(warnings.toSorted(), [
    `${P}CERTIFICATE is left out: expected an https endpoint beside it, got http`,
    `${P}COMPRESSION is left out: expected one of none, gzip, got "br"`,
    `${P}ENDPOINT is left out: expected an http or https URL without user and password, got a value that is not shown`,
    pair,
    pair,
    pair,
    header,
    header,
    header,
    `${P}TIMEOUT is left out: expected whole milliseconds, at least 1 and at most 24 days, got "soon"`,
    'OTEL_RESOURCE_ATTRIBUTES: a pair is left out: expected a name of 1 to 255 characters',
    'OTEL_SERVICE_NAME is left out: expected a name of 1 to 255 characters, got 300',
  ])
})

test("otlp env: a client's certificate without its key is left out", () => {
  assert.deepEqual(resolveOtlpOptions(TLS, { [`${P}CLIENT_CERTIFICATE`]: '/c' }).warnings, [
    `${P}CLIENT_CERTIFICATE is left out: expected a certificate with a key, got one of both`,
  ])
})

for (const text of ['soon', '0', '-1', '1e13', 'Infinity']) {
  test(`otlp env: a time-out of "${text}", which no timer could keep, is left out`, () => {
    const { timeoutMs, warnings } = resolveOtlpOptions({}, { [`${P}TIMEOUT`]: text })
    assert.deepEqual(timeoutMs, { value: 10_000, origin: 'default' })
    assert.match(
      warnings.join(),
      /TIMEOUT is left out: expected whole milliseconds, at least 1 and at most 24 days, got/,
    )
  })
}
