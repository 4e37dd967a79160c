/** Keys of an exporter's config that OTEL_* variables fill in. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OtelEnvironment, logsAddress } from '../../../../config/agent/exporters/otel.ts'
import type { OtlpExporterConfig } from '../../../../config/agent/exporters/otlp.ts'
import { exporterConfig } from '../../../support/exporter-config.ts'

const P = 'OTEL_EXPORTER_OTLP_'
type Env = Readonly<Record<string, string>>
type Resolved = ReturnType<OtelEnvironment['otlp']>

/** The config with these keys, completed by the variables, and the source of each value that is not in the config. */
function resolved(
  keys: Partial<OtlpExporterConfig>,
  env: Env,
): { config: Resolved; sources: Readonly<Record<string, string>>; warnings: readonly string[] } {
  const { protocol: _p, compression: _c, request_timeout: _t, ...rest } = exporterConfig('otlp')
  const environment = new OtelEnvironment(env)
  const config = environment.otlp({ ...rest, logs_endpoint: undefined, service_name: undefined, ...keys })
  const sources = Object.fromEntries(environment.sources.map(([path, variable]) => [path.join('.'), variable]))
  return { config, sources, warnings: environment.warnings }
}

const endpoints: ReadonlyArray<
  readonly [name: string, config: Partial<OtlpExporterConfig>, env: Env, want: string, origin: string | undefined]
> = [
  ['nothing', {}, {}, 'http://localhost:4318/v1/logs', 'default'],
  ['a base', { endpoint: 'http://loki:3100/otlp' }, {}, 'http://loki:3100/otlp/v1/logs', undefined],
  ['a base that ends in a slash', { endpoint: 'http://c:4318/' }, {}, 'http://c:4318/v1/logs', undefined],
  ['a whole address', { logs_endpoint: 'http://c/in', endpoint: 'http://d' }, {}, 'http://c/in', undefined],
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
    undefined,
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
]
for (const [name, keys, env, value, origin] of endpoints) {
  test(`otel: endpoint of ${name}`, () => {
    const { config, sources } = resolved(keys, env)
    assert.deepEqual([logsAddress(config), sources['logs_endpoint']], [value, origin])
  })
}

const HTTPS = { endpoint: 'https://x' }
const tls = (files: object): Partial<OtlpExporterConfig> => ({
  ...HTTPS,
  tls: { insecure_skip_verify: false, ...files },
})

type Key = 'compression' | 'request_timeout' | 'protocol' | 'ca_file' | 'cert_file' | 'key_file' | 'service_name'
const values: ReadonlyArray<
  readonly [key: Key, config: Partial<OtlpExporterConfig>, env: Env, want: unknown, variable?: string]
> = [
  ['compression', {}, {}, 'gzip'],
  ['compression', {}, { [`${P}COMPRESSION`]: 'none' }, 'none', `${P}COMPRESSION`],
  [
    'compression',
    {},
    { [`${P}COMPRESSION`]: 'none', [`${P}LOGS_COMPRESSION`]: 'GZIP' },
    'gzip',
    `${P}LOGS_COMPRESSION`,
  ],
  ['compression', {}, { [`${P}COMPRESSION`]: 'brotli' }, 'gzip'],
  ['compression', { compression: 'zstd' }, { [`${P}COMPRESSION`]: 'none' }, 'zstd'],
  ['request_timeout', {}, {}, 10_000],
  ['request_timeout', {}, { [`${P}TIMEOUT`]: '2500' }, 2500, `${P}TIMEOUT`],
  ['request_timeout', {}, { [`${P}TIMEOUT`]: '10s' }, 10_000],
  ['request_timeout', {}, { [`${P}TIMEOUT`]: '0x10' }, 10_000],
  ['request_timeout', {}, { [`${P}TIMEOUT`]: '0.5' }, 10_000],
  ['request_timeout', {}, { [`${P}TIMEOUT`]: '0' }, 10_000],
  // 24 days, the maximum of a timer, and a millisecond more.
  ['request_timeout', {}, { [`${P}TIMEOUT`]: '2073600000' }, 2_073_600_000, `${P}TIMEOUT`],
  ['request_timeout', {}, { [`${P}TIMEOUT`]: '2073600001' }, 10_000],
  ['request_timeout', {}, { [`${P}LOGS_TIMEOUT`]: '-1', [`${P}TIMEOUT`]: '7' }, 7, `${P}TIMEOUT`],
  ['protocol', {}, {}, 'http/protobuf'],
  ['protocol', {}, { [`${P}PROTOCOL`]: 'http/json' }, 'http/json', `${P}PROTOCOL`],
  ['protocol', {}, { [`${P}PROTOCOL`]: 'grpc' }, 'http/protobuf'],
  ['ca_file', {}, {}, undefined],
  ['ca_file', HTTPS, { [`${P}CERTIFICATE`]: '/ca' }, '/ca', `${P}CERTIFICATE`],
  ['ca_file', {}, { [`${P}CERTIFICATE`]: '/ca' }, undefined],
  [
    'cert_file',
    tls({ key_file: '/k' }),
    { [`${P}LOGS_CLIENT_CERTIFICATE`]: '/c' },
    '/c',
    `${P}LOGS_CLIENT_CERTIFICATE`,
  ],
  ['cert_file', HTTPS, { [`${P}CLIENT_CERTIFICATE`]: '/c' }, undefined],
  ['key_file', HTTPS, { [`${P}CLIENT_KEY`]: '/k' }, undefined],
  // An error of the config, which the exporter refuses.
  ['cert_file', tls({ cert_file: '/own' }), {}, '/own'],
  ['key_file', { ...tls({ key_file: '/own' }), endpoint: 'http://x' }, { [`${P}CLIENT_KEY`]: '/k' }, '/own'],
  ['service_name', {}, { OTEL_SERVICE_NAME: 'x'.repeat(256) }, 'ktrail'],
  ['service_name', {}, { OTEL_RESOURCE_ATTRIBUTES: 'service.name=' }, 'ktrail'],
  // The service name stays in resource_attributes, as in the config.
  ['service_name', { resource_attributes: { 'service.name': 'own' } }, { OTEL_SERVICE_NAME: 'b' }, undefined],
  ['service_name', { service_name: 'first', resource_attributes: { 'service.name': 'own' } }, {}, 'first'],
  ['service_name', {}, {}, 'ktrail'],
  ['service_name', {}, { OTEL_RESOURCE_ATTRIBUTES: 'service.name=a' }, 'a', 'OTEL_RESOURCE_ATTRIBUTES'],
  [
    'service_name',
    {},
    { OTEL_SERVICE_NAME: 'b', OTEL_RESOURCE_ATTRIBUTES: 'service.name=a' },
    'b',
    'OTEL_SERVICE_NAME',
  ],
]
for (const [key, keys, env, want, variable] of values) {
  test(`otel: ${key} of ${JSON.stringify({ ...keys, ...env })}`, () => {
    const { config, sources } = resolved(keys, env)
    const isFile = key === 'ca_file' || key === 'cert_file' || key === 'key_file'
    assert.deepEqual(isFile ? config.tls[key] : config[key], want)
    assert.equal(sources[isFile ? `tls.${key}` : key], variable)
  })
}

test('otel: headers are merged name by name, in any case; the most specific source wins', () => {
  const env = {
    [`${P}HEADERS`]: 'A=general,b=general,c=gen%20eral,X-Scope-OrgID=general',
    [`${P}LOGS_HEADERS`]: 'B=logs, d=x=y',
  }
  const { config, sources } = resolved({ headers: { a: 'own' }, tenant: 'own' }, env)
  assert.deepEqual(config.headers, { a: 'own', b: 'logs', c: 'gen eral', d: 'x=y' })
  assert.deepEqual(
    Object.entries(sources).filter(([path]) => path.startsWith('headers.')),
    [
      ['headers.b', `${P}LOGS_HEADERS`],
      ['headers.c', `${P}HEADERS`],
      ['headers.d', `${P}LOGS_HEADERS`],
    ],
  )
})

test('otel: resource attributes come from config and environment, the service name apart', () => {
  const env = { OTEL_RESOURCE_ATTRIBUTES: 'team=a,zone=z%2C1,service.name=s' }
  const { config, sources } = resolved({ resource_attributes: { team: 'b' } }, env)
  assert.deepEqual(config.resource_attributes, { team: 'b', zone: 'z,1' })
  assert.deepEqual(
    [sources['resource_attributes.team'], sources['resource_attributes.zone']],
    [undefined, 'OTEL_RESOURCE_ATTRIBUTES'],
  )
})

test('otel: ignored values are reported, without repeating possible secrets', () => {
  const env = {
    [`${P}HEADERS`]: 'secret%ZZ=1,=2,x,bad name=hush,token=hu%0Ash,euro=%E2%82%AC,ok=1',
    [`${P}TIMEOUT`]: 'soon',
    [`${P}COMPRESSION`]: 'br',
    [`${P}ENDPOINT`]: 'htps://me:hush@x',
    [`${P}CERTIFICATE`]: '/ca',
    OTEL_SERVICE_NAME: 'x'.repeat(300),
    OTEL_RESOURCE_ATTRIBUTES: `service.name=${'x'.repeat(300)}`,
  }
  const { warnings, config } = resolved({}, env)
  assert.deepEqual(config.headers, { ok: '1' })
  const pair = `${P}HEADERS: a pair is ignored: expected key=value, percent-encoded`
  const header = `${P}HEADERS: a pair is ignored: expected name and value as HTTP allows them in a header`
  assert.deepEqual(warnings.toSorted(), [
    `${P}CERTIFICATE is ignored: expected an https endpoint beside it, got http`,
    `${P}COMPRESSION is ignored: expected one of none, gzip, got "br"`,
    `${P}ENDPOINT is ignored: expected an http or https URL without user and password, got a value that is not shown`,
    pair,
    pair,
    pair,
    header,
    header,
    header,
    `${P}TIMEOUT is ignored: expected whole milliseconds, at least 1 and at most 24 days, got "soon"`,
    'OTEL_RESOURCE_ATTRIBUTES: a pair is ignored: expected a name of 1 to 255 characters',
    'OTEL_SERVICE_NAME is ignored: expected a name of 1 to 255 characters, got 300',
  ])
})

test("otel: a client's certificate without its key is ignored", () => {
  assert.deepEqual(resolved(HTTPS, { [`${P}CLIENT_CERTIFICATE`]: '/c' }).warnings, [
    `${P}CLIENT_CERTIFICATE is ignored: expected a certificate with a key, got one of both`,
  ])
})

for (const text of ['soon', '0', '-1', '1e13', 'Infinity']) {
  test(`otel: a time-out of "${text}", beyond the limit of a timer, is ignored`, () => {
    const { config, warnings } = resolved({}, { [`${P}TIMEOUT`]: text })
    assert.equal(config.request_timeout, 10_000)
    assert.match(
      warnings.join(),
      /TIMEOUT is ignored: expected whole milliseconds, at least 1 and at most 24 days, got/,
    )
  })
}
