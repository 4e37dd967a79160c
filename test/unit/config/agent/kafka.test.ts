/** `type: kafka` in a config: valid keys, refused ones, and how it is printed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { LoadedConfig } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'
import type { ExporterConfig } from '../../../../config/agent/schema.ts'

const NEEDED = 'brokers: ["a:9092"], topic: t'
const LOGIN = 'mechanism: plain, username: me'

function result(keys: string): ReturnType<typeof loadConfig> {
  return loadConfig(`exporters:\n  k: { type: kafka, ${keys} }\n`, 'c.yaml', {}, () => 'hush\n')
}

function loaded(keys: string): LoadedConfig {
  const found = result(keys)
  assert.ok('config' in found, JSON.stringify(found))
  return found
}

type KafkaExporterConfig = Extract<ExporterConfig, { type: 'kafka' }>

function kafka(keys: string): KafkaExporterConfig {
  const exporter = loaded(keys).config.exporters['k']
  assert.ok(exporter?.type === 'kafka')
  return exporter
}

describe('type: kafka', () => {
  it('needs brokers and a topic, and allows a batch more time than a request', () => {
    const { queue, batch, retry, ...own } = kafka(NEEDED)
    assert.deepEqual([queue.max_events, batch.max_events, retry.initial], [100_000, 1000, 1000])
    assert.deepEqual(own, {
      type: 'kafka',
      brokers: ['a:9092'],
      topic: 't',
      client_id: 'ktrail',
      key: 'node_name',
      format: 'json',
      envelope: false,
      cluster_name: '',
      compression: 'zstd',
      acks: 'all',
      idempotent: false,
      request_timeout: 30_000,
      max_request_size: 921_600,
      timeout: 60_000,
    })
  })

  const GOOD: ReadonlyArray<
    readonly [name: string, keys: string, read: (of: KafkaExporterConfig) => unknown, want: unknown]
  > = [
    [
      'several brokers, one by IPv6',
      'topic: t, brokers: [k1.example.org:9092, "10.0.0.1:1", "[fe80::1]:65535"]',
      (of) => of.brokers,
      ['k1.example.org:9092', '10.0.0.1:1', '[fe80::1]:65535'],
    ],
    ['a template', 'brokers: [a:1], topic: "x.{policy}-{event_type}"', (of) => of.topic, 'x.{policy}-{event_type}'],
    ['a template by namespace', 'brokers: [a:1], topic: "x.{namespace}"', (of) => of.topic, 'x.{namespace}'],
    [
      'a key that fields keep',
      `${NEEDED}, key: exec_id, fields: [{ fields: process, action: INCLUDE }, { fields: parent, action: EXCLUDE }]`,
      (of) => of.key,
      'exec_id',
    ],
    [
      'a pod as the key where fields keep its name',
      `${NEEDED}, key: pod, fields: [{ fields: "process.pod.pod_labels,process.docker", action: EXCLUDE }]`,
      (of) => of.key,
      'pod',
    ],
    ['no key', `${NEEDED}, key: none`, (of) => of.key, 'none'],
    ['TLS with the authorities of the system', `${NEEDED}, tls: {}`, (of) => of.tls, { insecure_skip_verify: false }],
    [
      'certificates',
      `${NEEDED}, tls: { ca_file: /a, cert_file: /b, key_file: /c, server_name: d }`,
      (of) => of.tls,
      { ca_file: '/a', cert_file: '/b', key_file: '/c', server_name: 'd', insecure_skip_verify: false },
    ],
    [
      'a password from a file, without its line feed',
      `${NEEDED}, sasl: { ${LOGIN}, password: "\${file:/p}" }`,
      (of) => of.sasl?.password,
      'hush',
    ],
    [
      'the file of a password',
      `${NEEDED}, sasl: { ${LOGIN}, password_file: /p }`,
      (of) => [of.sasl?.password, of.sasl?.password_file],
      [undefined, '/p'],
    ],
    ['a codec', `${NEEDED}, compression: lz4, codec: "npm:a-codec"`, (of) => of.codec, 'npm:a-codec'],
    [
      'OTLP records and their contents',
      `${NEEDED}, format: otlp_proto, key: policy, otlp: { service_name: s, body: text }`,
      ({ format, otlp }) => [format, otlp],
      [
        'otlp_proto',
        {
          service_name: 's',
          resource_attributes: {},
          body: 'text',
          severity: { lifecycle: 'info', policies: {}, tags: {} },
          arg_labels: false,
          pod_labels: [],
          file_details: false,
          command_line: false,
          event_name_attribute: false,
        },
      ],
    ],
    ['idempotence', `${NEEDED}, idempotent: true`, (of) => of.idempotent, true],
    ['a longer request', `${NEEDED}, request_timeout: 2m, timeout: 3m`, (of) => of.request_timeout, 120_000],
  ]
  for (const [name, keys, read, want] of GOOD) it(`takes ${name}`, () => assert.deepEqual(read(kafka(keys)), want))

  const BROKER = 'expected host:port such as kafka-1.example.org:9092'
  const BROKERS = 'expected a list of one or more brokers such as [kafka-1.example.org:9092]'
  const TOPIC =
    'expected a topic of letters, digits, ".", "_" and "-", optionally with {event_type}, {policy} and {namespace}'
  const NO_KEY =
    'key: expected node_name, policy or none, because fields removes process.exec_id from the records, got "exec_id"'
  const BAD: ReadonlyArray<readonly [name: string, keys: string, want: string]> = [
    ['no brokers', 'topic: t', `brokers: missing; ${BROKERS}`],
    [
      'brokers as a single text',
      'topic: t, brokers: "a:1"',
      `brokers: ${BROKERS}, got "a:1"; write it as a list: [a:1]`,
    ],
    ['an empty list of brokers', 'topic: t, brokers: []', `brokers: ${BROKERS}, got a list`],
    ['a broker without port', 'topic: t, brokers: [a]', `brokers[0]: ${BROKER}, got "a"; Kafka's usual port is 9092`],
    ['a broker with port 0', 'topic: t, brokers: ["a:0"]', `brokers[0]: ${BROKER}, got "a:0"`],
    ['a port too high', 'topic: t, brokers: ["a:70000"]', `brokers[0]: ${BROKER}, got "a:70000"`],
    [
      'a URL',
      'topic: t, brokers: ["b:1", "kafka://a:1"]',
      `brokers[1]: ${BROKER}, got "kafka://a:1"; write host:port without a scheme, and tls: {} for TLS`,
    ],
    ['IPv6 without brackets', 'topic: t, brokers: ["::1:9092"]', `brokers[0]: ${BROKER}, got "::1:9092"`],
    [
      'a key that records of OTLP cannot have',
      `${NEEDED}, format: otlp_proto, key: exec_id`,
      'key: expected node_name, policy or none, because a record of format otlp_proto holds many processes, got "exec_id"',
    ],
    [
      'OTLP contents for another format',
      `${NEEDED}, otlp: { service_name: s }`,
      'otlp: expected format otlp_proto with it',
    ],
    [
      'fields of records whose body is a line of text',
      `${NEEDED}, format: otlp_proto, otlp: { body: text }, fields: [{ fields: process }]`,
      'fields: expected body: json or body: none with it, because a line of text has no fields',
    ],
    ['no topic', 'brokers: [a:1]', 'topic: missing; expected a text'],
    ['a topic with a space', 'brokers: [a:1], topic: "a b"', `topic: ${TOPIC}, got "a b"`],
    ['a topic that is a folder', 'brokers: [a:1], topic: ".."', `topic: ${TOPIC}, got ".."`],
    ['an unknown placeholder', 'brokers: [a:1], topic: "a.{node}"', `topic: ${TOPIC}, got "a.{node}"`],
    ...['', '.', 'a/b', '{}', 'a{policy', 'a}', 'é'].map(
      (topic) => [`topic "${topic}"`, `brokers: [a:1], topic: "${topic}"`, `topic: ${TOPIC}, got "${topic}"`] as const,
    ),
    [
      'a choice of client library',
      `${NEEDED}, driver: kafkajs`,
      'driver: unknown key "driver"; expected one of type, brokers, topic, client_id, key, format, envelope, otlp, cluster_name, compression, codec, acks and 15 others',
    ],
    [
      'lz4 without a codec',
      `${NEEDED}, compression: lz4`,
      'compression: expected none, gzip or zstd, or codec: npm:<package> with it, got "lz4"',
    ],
    [
      'a codec for nothing',
      `${NEEDED}, codec: "npm:x"`,
      'codec: expected compression snappy or lz4 with it, got "npm:x"',
    ],
    [
      'acks as Kafka writes them',
      `${NEEDED}, acks: -1`,
      'acks: expected one of all, leader, got the number -1 (did you mean "all"?)',
    ],
    [
      'idempotence with the leader alone',
      `${NEEDED}, idempotent: true, acks: leader`,
      'acks: expected all with idempotent, got "leader"',
    ],
    [
      'a key that fields leave out',
      `${NEEDED}, key: exec_id, fields: [{ fields: process.binary, action: INCLUDE }]`,
      NO_KEY,
    ],
    ...['process.pod, EXCLUDE', 'process.pod.name, EXCLUDE', 'process.pod.name, INCLUDE'].map(
      (rule): [string, string, string] => [
        `a pod as the key with ${rule}`,
        `${NEEDED}, key: pod, fields: [{ fields: ${rule.replace(',', ', action:')} }]`,
        'key: expected node_name, policy or none, because fields removes process.pod from the records, got "pod"',
      ],
    ),
    [
      'a namespace that fields leave out',
      'brokers: [a:1], topic: "x.{namespace}", fields: [{ fields: process.pod, action: EXCLUDE }]',
      'topic: expected no {namespace}, because fields removes process.pod from the records, got "x.{namespace}"',
    ],
    [
      'a namespace of many processes',
      'brokers: [a:1], topic: "x.{namespace}", format: otlp_proto',
      'topic: expected no {namespace}, because a record of format otlp_proto holds many processes, got "x.{namespace}"',
    ],
    ['a key that a field is', `${NEEDED}, key: exec_id, fields: [{ fields: process.execId, action: EXCLUDE }]`, NO_KEY],
    [
      'a request larger than brokers take',
      `${NEEDED}, max_request_size: 101MiB`,
      'max_request_size: expected a size from 16KiB to 100MiB, got "101MiB"',
    ],
    [
      'a batch as short as a request',
      `${NEEDED}, timeout: 30s`,
      'timeout: expected more than request_timeout, which is 30s, got "30s"',
    ],
    [
      'a request as long as a batch',
      `${NEEDED}, request_timeout: 60s`,
      'timeout: expected more than request_timeout, which is 1m, got the default',
    ],
    ['a certificate without key', `${NEEDED}, tls: { cert_file: /a }`, 'tls: expected cert_file and key_file together'],
    [
      'TLS as a word',
      `${NEEDED}, tls: true`,
      "tls: expected a mapping, got true; write tls: {}, which trusts the system's authorities",
    ],
    ['a login without password', `${NEEDED}, sasl: { ${LOGIN} }`, 'sasl: expected either password or password_file'],
    [
      'a login with two',
      `${NEEDED}, sasl: { ${LOGIN}, password: hush, password_file: /p }`,
      'sasl: expected either password or password_file',
    ],
    [
      'a mechanism that is not built',
      `${NEEDED}, sasl: { mechanism: oauthbearer, username: me, password: x }`,
      'sasl.mechanism: expected one of plain, scram-sha-256, scram-sha-512, got "oauthbearer"',
    ],
    [
      'a password that is a number, without showing it',
      `${NEEDED}, sasl: { ${LOGIN}, password: 12345 }`,
      'sasl.password: expected a text, got a value that is not shown',
    ],
  ]
  for (const [name, keys, want] of BAD) {
    it(`refuses ${name}`, () => {
      const found = result(keys)
      assert.ok('problems' in found)
      assert.deepEqual(
        found.problems.map(({ message }) => message),
        [`exporters.k.${want}`],
      )
    })
  }
})

describe('printConfig of type: kafka', () => {
  it('shows no password, neither from a file nor from the config', () => {
    for (const password of ['hush', '"${file:/p}"']) {
      for (const effective of [true, false]) {
        const printed = printConfig(loaded(`${NEEDED}, sasl: { ${LOGIN}, password: ${password} }`), { effective })
        assert.ok(!printed.includes('hush'), printed)
        assert.match(printed, /username: me/)
        assert.match(printed, /password: "\[redacted\]"/)
      }
    }
  })

  it('parses back to the same config', () => {
    for (const keys of [NEEDED, `${NEEDED}, tls: { server_name: x }, idempotent: true, max_request_size: 1MiB`]) {
      const before = loaded(keys)
      for (const effective of [true, false]) {
        const after = loadConfig(printConfig(before, { effective }), 'c.yaml', {}, () => '')
        assert.ok('config' in after)
        assert.deepEqual(after.config, before.config)
      }
    }
  })
})
