/** `type: otlp` in a config: valid keys, refused ones, and how it is printed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { LoadedConfig } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'
import type { OtlpExporterConfig } from '../../../../config/agent/exporters/otlp.ts'

const FILES: Readonly<Record<string, string>> = { '/token': 'Bearer hush\n', '/lines': 'a\nb\n' }

function result(keys: string): ReturnType<typeof loadConfig> {
  const text = `exporters:\n  o: { type: otlp${keys === '' ? '' : `, ${keys}`} }\n`
  return loadConfig(text, 'c.yaml', {}, (path) => FILES[path] ?? '')
}

function loaded(keys: string): LoadedConfig {
  const found = result(keys)
  assert.ok('config' in found, JSON.stringify(found))
  return found
}

function otlp(keys: string): OtlpExporterConfig {
  const exporter = loaded(keys).config.exporters['o']
  assert.ok(exporter?.type === 'otlp')
  return exporter
}

describe('type: otlp', () => {
  it('needs no key, leaves keys to the environment, and allows a batch more time than a request', () => {
    const { queue, batch, retry, ...own } = otlp('')
    assert.deepEqual([queue.max_events, batch.max_events, retry.initial], [100_000, 1000, 1000])
    assert.deepEqual(own, {
      type: 'otlp',
      encoder: 'ktrail',
      headers: {},
      header_files: {},
      tls: { insecure_skip_verify: false },
      resource_attributes: {},
      cluster_name: '',
      severity: { lifecycle: 'info', policies: {}, tags: {} },
      arg_labels: false,
      pod_labels: [],
      file_details: false,
      loki: false,
      concurrency: {},
      timeout: 60_000,
    })
  })

  it("accepts Loki's limits as true, or as a mapping with Loki's defaults", () => {
    assert.equal(otlp('loki: true').loki, true)
    assert.deepEqual(otlp('loki: {}').loki, {
      max_line_size: 262_144,
      max_metadata_size: 65_536,
      max_metadata_entries: 128,
      max_age: 604_800_000,
      max_ahead: 600_000,
    })
    const { loki } = otlp('loki: { max_line_size: 1MiB, max_age: 30d }')
    assert.ok(typeof loki === 'object')
    assert.deepEqual([loki.max_line_size, loki.max_age], [1_048_576, 2_592_000_000])
  })

  const GOOD: ReadonlyArray<
    readonly [name: string, keys: string, read: (of: OtlpExporterConfig) => unknown, want: unknown]
  > = [
    ['an endpoint', 'endpoint: "http://loki:3100/otlp"', (of) => of.endpoint, 'http://loki:3100/otlp'],
    ['a whole address', 'logs_endpoint: "https://x/y"', (of) => of.logs_endpoint, 'https://x/y'],
    ['JSON', 'protocol: http/json', (of) => of.protocol, 'http/json'],
    ['zstd', 'compression: zstd', (of) => of.compression, 'zstd'],
    ['the reference encoder', 'encoder: sdk', (of) => of.encoder, 'sdk'],
    ['the reference encoder for JSON', 'encoder: sdk, protocol: http/json', (of) => of.encoder, 'sdk'],
    [
      'a header from a file, without its line feed',
      'headers: { authorization: "${file:/token}" }',
      (of) => of.headers['authorization'],
      'Bearer hush',
    ],
    ['a file of a header', 'header_files: { X-Key: /run/key }', (of) => of.header_files['X-Key'], '/run/key'],
    ['a tenant', 'tenant: team-a', (of) => of.tenant, 'team-a'],
    ['a time for one request', 'request_timeout: 3s', (of) => of.request_timeout, 3000],
    ['severities', 'severity: { policies: { a.b: error } }', (of) => of.severity.policies['a.b'], 'error'],
    [
      'a resource',
      'resource_attributes: { deployment.environment: prod }',
      (of) => Object.keys(of.resource_attributes),
      ['deployment.environment'],
    ],
    [
      'certificates of an https endpoint',
      'endpoint: "https://x", tls: { ca_file: /a, cert_file: /b, key_file: /c, server_name: y }',
      (of) => Object.values(of.tls),
      ['/a', '/b', '/c', 'y', false],
    ],
    ['the largest batch', 'batch: { max_bytes: 20MiB }', (of) => of.batch.max_bytes, 20 << 20],
    ['the largest batch for Loki', 'loki: true, batch: { max_bytes: 4MiB }', (of) => of.batch.max_bytes, 4 << 20],
    ['one request at a time to Loki', 'loki: true, concurrency: { max: 1 }', (of) => of.concurrency.max, 1],
    ['requests at a time', 'concurrency: { max: 4 }', (of) => of.concurrency.max, 4],
  ]
  for (const [name, keys, read, want] of GOOD) it(`takes ${name}`, () => assert.deepEqual(read(otlp(keys)), want))

  const BAD: ReadonlyArray<readonly [name: string, keys: string, want: string]> = [
    [
      'an endpoint that is no URL',
      'endpoint: loki',
      'endpoint: expected an http or https URL such as http://localhost:4318, got "loki"; write http:// or https:// before it',
    ],
    [
      'an endpoint for gRPC',
      'endpoint: "grpc://x:4317"',
      'endpoint: expected an http or https URL such as http://localhost:4318, got "grpc://x:4317"; OTLP over HTTP has port 4318: write http://HOST:4318',
    ],
    [
      'an endpoint without host',
      'endpoint: "http:x"',
      'endpoint: expected an http or https URL such as http://localhost:4318, got "http:x"; write http:// or https:// before it',
    ],
    [
      'a password in the endpoint, without repeating it',
      'endpoint: "http://me:hush@x"',
      'endpoint: expected a URL without user and password; put them into headers, as authorization, got a value that is not shown',
    ],
    [
      'both addresses',
      'endpoint: "http://x", logs_endpoint: "http://y"',
      'logs_endpoint: expected either endpoint or logs_endpoint, got "http://y"',
    ],
    [
      'gRPC',
      'protocol: grpc',
      'protocol: expected one of http/protobuf, http/json, got "grpc"; ktrail sends OTLP over HTTP: remove protocol, and use port 4318 instead of 4317',
    ],
    ['snappy', 'compression: snappy', 'compression: expected one of none, gzip, zstd, got "snappy"'],
    [
      'the name of a header with a space',
      'headers: { "a b": x }',
      'headers["a b"]: expected the name of an HTTP header, got "a b" (did you mean "a-b"?)',
    ],
    [
      'a header of two lines, without showing it',
      'headers: { token: "${file:/lines}" }',
      'headers.token: expected characters that HTTP allows in a header, got a value from a file that is not shown',
    ],
    [
      'a header with a line feed, without showing it',
      'headers: { token: "hu\\nsh" }',
      'headers.token: expected characters that HTTP allows in a header, got a value that is not shown',
    ],
    ['an empty tenant', 'tenant: ""', 'tenant: expected a text that is not empty, got ""'],
    ['no time for a request', 'request_timeout: 0s', 'request_timeout: expected a duration from 1ms to 24d, got "0s"'],
    [
      'certificates without TLS',
      'endpoint: "http://x", tls: { ca_file: /a }',
      'tls: expected an https endpoint with certificates',
    ],
    [
      'an unknown severity',
      'severity: { tags: { a: loud } }',
      'severity.tags.a: expected one of trace, debug, info, warn, error, fatal, got "loud"',
    ],
    [
      'a word for Loki',
      'loki: yes',
      'loki: expected true, false or a mapping of limits such as {max_line_size: 256KiB}, got "yes"; write true',
    ],
    [
      'a limit misspelt',
      'loki: { max_lime_size: 1KiB }',
      'loki.max_lime_size: unknown key "max_lime_size" (did you mean "max_line_size"?)',
    ],
    [
      'a limit without unit',
      'loki: { max_age: 7 }',
      'loki.max_age: expected a duration such as 200ms, 10s, 5m or 6d, got the number 7; add its unit',
    ],
    [
      'several requests at a time to Loki',
      'loki: { max_age: 1d }, concurrency: { max: 2 }',
      'concurrency.max: expected 1 for Loki, because it refuses records too far behind the newest, got the number 2',
    ],
    [
      "a batch above Loki's burst",
      'loki: true, batch: { max_bytes: 5MiB }',
      'batch.max_bytes: expected at most 4MiB for Loki, got "5MiB"',
    ],
    [
      'a batch that no Collector takes',
      'batch: { max_bytes: 21MiB }',
      'batch.max_bytes: expected at most 20MiB, got "21MiB"',
    ],
    ['no request at a time', 'concurrency: { max: 0 }', 'concurrency.max: expected at least 1, got the number 0'],
    ['more than that', 'concurrency: { max: 1000 }', 'concurrency.max: expected at most 256, got the number 1000'],
  ]
  for (const [name, keys, want] of BAD) {
    it(`refuses ${name}`, () => {
      const found = result(keys)
      assert.ok('problems' in found)
      assert.deepEqual(
        found.problems.map(({ message }) => message),
        [`exporters.o.${want}`],
      )
    })
  }
})

describe('printConfig of type: otlp', () => {
  const keys = 'headers: { authorization: Bearer hush, x-scope: "${file:/token}" }, header_files: { x-key: /run/key }'

  it('shows no value of a header, neither from a file nor from the config', () => {
    for (const effective of [true, false]) {
      const printed = printConfig(loaded(keys), { effective })
      assert.ok(!printed.includes('hush'), printed)
      assert.match(printed, /authorization: "\[redacted\]"/)
      assert.match(printed, /x-scope: "\[redacted\]"/)
      assert.match(printed, /x-key: \/run\/key/)
    }
  })

  it('parses back to the same config, also with limits', () => {
    for (const text of ['', 'loki: true', 'loki: { max_age: 2d }', 'severity: { lifecycle: debug }, tenant: a$$b']) {
      const before = loaded(text)
      for (const effective of [true, false]) {
        const after = loadConfig(printConfig(before, { effective }), 'c.yaml', {}, () => '')
        assert.ok('config' in after)
        assert.deepEqual(after.config, before.config)
      }
    }
  })
})
