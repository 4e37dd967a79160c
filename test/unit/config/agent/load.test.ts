import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { loadConfig } from '../../../../config/agent/load.ts'
import { formatProblem } from '../../../../config/yaml/problems.ts'
import type { Config } from '../../../../config/agent/schema.ts'

const ROOT = join(import.meta.dirname, '../../../..')
const MIB = 1024 * 1024

type Env = Record<string, string>

function load(text: string, env: Env = {}, files: Env = {}): Config {
  const result = loadConfig(text, 'c.yaml', env, reader(files))
  assert.ok('config' in result, problemsOf(text, env, files).join('\n'))
  return result.config
}

function problemsOf(text: string, env: Env = {}, files: Env = {}): string[] {
  const result = loadConfig(text, 'c.yaml', env, reader(files))
  return 'problems' in result ? result.problems.map(formatProblem) : []
}

function reader(files: Env): (path: string) => string {
  return (path) => {
    const text = files[path]
    if (text === undefined) throw Object.assign(new Error('gone'), { code: 'ENOENT' })
    return text
  }
}

/** A config whose only exporter is `exporter` (flow text without braces), with the keys `more`. */
/** Names of units as messages show them. */
const TYPES = 'file, stdout, otlp, kafka, npm:<package>'

function withExporter(exporter: string, more = ''): string {
  return `exporters: { a: { ${exporter} } }\n${more}`
}

describe('loadConfig', () => {
  it('fills in every default', () => {
    const chain = {
      queue: { max_bytes: 64 * MIB, max_events: 100_000 },
      batch: { max_events: 1000, max_bytes: MIB, max_wait: 200 },
      retry: { initial: 1000, max: 30_000 },
      timeout: 10_000,
    }
    assert.deepEqual(load('exporters:\n  f: { type: file, path: e.jsonl }\n  s: { type: stdout }\n'), {
      node_name: '',
      policies: [],
      server: { http: { host: '127.0.0.1', port: 2112 }, grpc: { path: '/run/ktrail/ktrail.sock' } },
      exporters: {
        f: {
          type: 'file',
          path: resolve('e.jsonl'),
          format: 'tetragon',
          mode: '0600',
          envelope: false,
          fsync: 1000,
          rotate: { max_size: 64 * MIB, max_files: 5, compress: false },
          ...chain,
        },
        s: { type: 'stdout', format: 'json', color: 'auto', timestamps: false, envelope: false, ...chain },
      },
      heartbeat: 60_000,
      state_dir: '/var/lib/ktrail',
      ring: { size: 16 * MIB, max_delay: 50 },
      attach: { mode: 'auto' },
      procfs: '/proc',
      expose_stack_addresses: false,
      enable_ancestors: [],
      enable_process_cred: false,
      enable_process_ns: false,
      enable_process_environment_variables: false,
      filter_environment_variables: [],
      username_metadata: 'disabled',
      log: { level: 'info', format: 'auto' },
      memory: { soft_limit: 384 * MIB, hard_limit: 512 * MIB, process_table: 128 * MIB },
      shutdown: { grace: 10_000 },
    })
  })

  it('reads every key', () => {
    const text = readFileSync(join(ROOT, 'test/fixtures/configs/good/every-key.yaml'), 'utf8')
    assert.deepEqual(load(text), {
      node_name: 'some-node',
      policies: [resolve('a.yaml'), resolve('b$c')],
      server: { http: { host: '::1', port: 0 }, grpc: 'disabled' },
      exporters: {
        archive: {
          type: 'file',
          path: '/var/log/ktrail/events.jsonl',
          format: 'tetragon',
          mode: '0640',
          envelope: true,
          fsync: 'batch',
          rotate: {
            max_size: 1_000_000_000,
            interval: 3_600_000,
            max_files: 1,
            max_total_size: 10_000_000_000,
            max_age: 2_592_000_000,
            compress: true,
          },
          queue: { max_bytes: 1.5 * MIB, max_events: 10, when_full: 'block' },
          batch: { max_events: 5, max_bytes: 65_536, max_wait: 0 },
          retry: { initial: 200, max: 300_000, max_age: 518_400_000 },
          timeout: 3_600_000,
        },
        screen_2: {
          ...load('exporters: { s: { type: stdout } }').exporters['s'],
          format: 'compact',
          color: 'always',
          timestamps: true,
          queue: { max_bytes: 64 * MIB, max_events: 100_000, when_full: 'spool' },
          spool: {
            dir: '/var/lib/ktrail/spool',
            use: 'always',
            max_size: 10 * 1024 * MIB,
            max_age: 561_600_000,
            min_free: 0,
            fsync: 'never',
            compression: 'none',
            segment_size: MIB,
          },
          dead_letter: { path: '/var/log/ktrail/refused.jsonl', max_size: 4096, max_files: 1 },
        },
      },
      heartbeat: 300_000,
      state_dir: '/var/lib/other',
      ring: { size: 65_536, watermark: 8192, max_delay: 1 },
      attach: { mode: 'kprobe.session' },
      procfs: '/host/proc',
      expose_stack_addresses: true,
      enable_ancestors: ['base', 'kprobe', 'tracepoint', 'lsm'],
      enable_process_cred: true,
      enable_process_ns: true,
      enable_process_environment_variables: true,
      filter_environment_variables: ['PATH', 'LD_PRELOAD'],
      username_metadata: 'unix',
      log: { level: 'debug', format: 'text' },
      memory: { soft_limit: 100 * MIB, hard_limit: 100 * MIB, process_table: 32 * MIB },
      shutdown: { grace: 0 },
    })
  })

  it('fills in the defaults of a spool, except when_full, which depends on the exporter', () => {
    const { spool, queue } = load(withExporter('type: stdout, spool: { dir: /s }')).exporters['a'] ?? {}
    assert.deepEqual(spool, {
      dir: '/s',
      use: 'overflow',
      max_size: 1024 * MIB,
      min_free: 1024 * MIB,
      fsync: 200,
      compression: 'zstd',
      segment_size: 16 * MIB,
    })
    assert.equal(queue?.when_full, undefined)
  })

  it('accepts the default config, with the node name from the environment', () => {
    const text = readFileSync(join(ROOT, 'config/ktrail.yaml'), 'utf8')
    assert.equal(load(text).node_name, '')
    assert.equal(load(text, { NODE_NAME: 'node-7' }).node_name, 'node-7')
  })

  it('returns the hash of the file, as sha256sum does', () => {
    const path = join(ROOT, 'config/ktrail.yaml')
    const result = loadConfig(readFileSync(path, 'utf8'), path, {})
    const sum = execFileSync('sha256sum', [path], { encoding: 'utf8' }).split(' ')[0]
    assert.equal('hash' in result && result.hash, sum)
  })

  it('returns the source of each value', () => {
    const text = 'node_name: ${env:N}\nexporters:\n  a:\n    type: file\n    path: ${file:/p}\n'
    const result = loadConfig(text, 'c.yaml', { N: 'n' }, reader({ '/p': 'x' }))
    assert.ok('origins' in result)
    assert.deepEqual(Object.fromEntries(result.origins), {
      '["node_name"]': { from: 'env', at: { line: 1, col: 12 }, variables: ['N'] },
      '["exporters","a","type"]': { from: 'file', at: { line: 4, col: 11 }, variables: [] },
      '["exporters","a","path"]': { from: 'secret', at: { line: 5, col: 11 }, variables: [] },
    })
  })
})

/** node_name as written, and its value. */
const REFERENCES: Array<[name: string, written: string, want: string]> = [
  ['a variable', '${env:A}', 'one'],
  ['a variable inside text', 'x-${env:A}-${env:B}', 'x-one-two'],
  ['a default that is not needed', '${env:A:-d}', 'one'],
  ['a default', '${env:NO:-d}', 'd'],
  ['a default for an empty variable', '${env:EMPTY:-d}', 'd'],
  ['a default that is empty', '${env:NO:-}', ''],
  ['a default with colons', '${env:NO:-a:-b:?c}', 'a:-b:?c'],
  ['a default of two lines', '"${env:NO:-a\\nb}"', 'a\nb'],
  ['an empty variable', '${env:EMPTY}', ''],
  ['a message that is not needed', '${env:A:?set it}', 'one'],
  ['a file without its last line end', '${file:/secret}', 'pass word'],
  ['two dollars', '$$', '$'],
  ['an escaped reference', '$${env:A}', '${env:A}'],
  ['four dollars', '$$$$', '$$'],
  ['a dollar alone', 'a$b', 'a$b'],
  ['a variable that holds a reference, once only', '${env:TRICK}', '${env:A}'],
  ['a variable that holds YAML, as text', '${env:YAML}', '{a: b}'],
  ['a variable that looks like a number, as text', '${env:NUMBER}', '5'],
]

const BAD_REFERENCES: Array<[name: string, written: string, want: string]> = [
  [
    'a variable that is not set',
    '${env:ZZZZZZ}',
    'environment variable ZZZZZZ is not set and has no default: set it or write ${env:ZZZZZZ:-default}',
  ],
  ['a variable nearly set', '${env:NUMBR}', 'environment variable NUMBR is not set (did you mean "NUMBER"?)'],
  ['a message', '${env:NO:?needed for x}', 'environment variable NO is not set: needed for x'],
  ['a message without text', '${env:EMPTY:?}', 'environment variable EMPTY is not set: it is required'],
  [
    'an invalid name',
    '${env:1A}',
    'expected ${env:NAME}, ${env:NAME:-default} or ${file:/path}, got "${env:1A}"; write $$ for a plain $',
  ],
  [
    'no scheme',
    '${A}',
    'expected ${env:NAME}, ${env:NAME:-default} or ${file:/path}, got "${A}" (did you mean "${env:A}"?)',
  ],
  ['nothing', '${}', 'expected ${env:NAME}, ${env:NAME:-default} or ${file:/path}, got "${}"; write $$ for a plain $'],
  [
    'a reference inside of another',
    '${env:A:-${env:B}}',
    'expected no reference inside of another, got "${env:A:-${env:B}"',
  ],
  ['no closing brace', '${env:A', '"${env:A" has no closing brace'],
  [
    'a name of every object',
    '${env:constructor}',
    'environment variable constructor is not set and has no default: set it or write ${env:constructor:-default}',
  ],
  ['a missing file', '${file:/nope}', 'cannot read "/nope": no such file'],
  ['a file without name', '${file:}', 'expected a path in ${file:/path}, got nothing'],
]

describe('loadConfig replaces', () => {
  const env = { A: 'one', B: 'two', EMPTY: '', TRICK: '${env:A}', YAML: '{a: b}', NUMBER: '5' }
  const files = { '/secret': 'pass word\n' }
  for (const [name, written, want] of REFERENCES) {
    it(name, () => {
      const text = written.startsWith('"') ? written : `'${written}'`
      assert.equal(load(withExporter('type: stdout', `node_name: ${text}\n`), env, files).node_name, want)
    })
  }

  for (const [name, written, want] of BAD_REFERENCES) {
    it(`nothing, but reports ${name}`, () => {
      const problems = problemsOf(withExporter('type: stdout', `node_name: '${written}'\n`), env, files)
      assert.deepEqual(problems, [`c.yaml:2:12: node_name: ${want}`])
    })
  }

  it('with numbers and booleans if the schema has them, and only then', () => {
    const text = withExporter(
      'type: stdout, timestamps: "${env:T}", queue: { max_events: "${env:N}" }',
      'node_name: "${env:N}"\n',
    )
    const config = load(text, { T: 'true', N: '500' })
    const exporter = config.exporters['a']
    assert.ok(exporter?.type === 'stdout')
    assert.deepEqual([exporter.timestamps, exporter.queue.max_events, config.node_name], [true, 500, '500'])
    const sink = load(withExporter('type: otlp, loki: "${env:T}"'), { T: 'true' }).exporters['a']
    assert.ok(sink?.type === 'otlp')
    assert.equal(sink.loki, true)
    assert.deepEqual(problemsOf(text, { T: 'yes', N: '5x' }), [
      'c.yaml:1:45: exporters.a.timestamps: expected true or false, got "yes"; write true',
      'c.yaml:1:78: exporters.a.queue.max_events: expected a number, got "5x"',
    ])
  })

  it('no keys', () => {
    assert.match(
      problemsOf('"${env:A}": 1\nexporters: { a: { type: stdout } }\n', env)[0] ?? '',
      /unknown key "\$\{env:A\}"/,
    )
  })

  it('secrets, without showing them in a message', () => {
    const problems = problemsOf(withExporter('type: "${file:/s}"'), {}, { '/s': 'stdoutt' })
    assert.deepEqual(problems, [
      `c.yaml:1:25: exporters.a.type: expected one of ${TYPES}, got a value from a file that is not shown`,
    ])
  })
})

const BAD: Array<[name: string, text: string, ...want: string[]]> = [
  [
    'no exporter at all',
    'node_name: x\n',
    '1:1: exporters: missing; expected at least one exporter, such as screen: {type: stdout, format: compact}',
  ],
  [
    'exporters that are a list',
    'exporters: [stdout]\n',
    '1:12: exporters: expected a mapping, got a list; give each a name: exporters: {screen: {type: stdout}}',
  ],
  [
    'a name that is too long',
    `exporters: { ${'a'.repeat(64)}: { type: stdout } }`,
    `1:14: exporters.${'a'.repeat(64)}: expected lower-case letters, digits, "-" and "_", at most 63, beginning with a letter or digit, got "${'a'.repeat(57)}..."`,
  ],
  ['an exporter without type', withExporter('path: x'), `1:17: exporters.a.type: missing; expected one of ${TYPES}`],
  [
    'an exporter of another type',
    withExporter('type: splunk'),
    '1:25: exporters.a.type: unknown type "splunk"; send with type: otlp to an OpenTelemetry Collector, which can pass it on',
  ],
  [
    'a key of another exporter',
    withExporter('type: stdout, path: x'),
    '1:33: exporters.a.path: unknown key "path"; only type file has it',
  ],
  [
    'a key misspelt',
    withExporter('type: stdout, colour: never'),
    '1:33: exporters.a.colour: unknown key "colour" (did you mean "color"?)',
  ],
  [
    'a word misspelt',
    withExporter('type: stdout, color: allways'),
    '1:40: exporters.a.color: expected one of auto, always, never, got "allways" (did you mean "always"?)',
  ],
  [
    'a format of another exporter',
    withExporter('type: file, path: x, format: json'),
    '1:48: exporters.a.format: expected one of tetragon, extended, got "json"; JSON lines are the default: remove it',
  ],
  [
    'when_full spool without a spool',
    withExporter('type: stdout, queue: { when_full: spool }'),
    '1:53: exporters.a.queue.when_full: expected drop_newest, drop_oldest or block, or a spool such as spool: {dir: /var/lib/ktrail/spool}, got "spool"',
  ],
  [
    'a spool without folder',
    withExporter('type: stdout, spool: {}'),
    '1:40: exporters.a.spool.dir: missing; expected a text',
  ],
  [
    'a spool that is a path',
    withExporter('type: stdout, spool: /x'),
    '1:40: exporters.a.spool: expected a mapping, got "/x"; write it as spool: {dir: ...}',
  ],
  [
    'a spool with an empty path',
    withExporter('type: stdout, spool: { dir: "" }'),
    '1:47: exporters.a.spool.dir: expected a text that is not empty, got ""',
  ],
  [
    'a spool that syncs at times',
    withExporter('type: stdout, spool: { dir: x, fsync: sometimes }'),
    '1:57: exporters.a.spool.fsync: expected never, batch or a duration such as 200ms, got "sometimes"',
  ],
  [
    'sizes of a spool',
    withExporter('type: stdout, spool: { dir: x, max_size: 1KiB, min_free: 5%, segment_size: 2GiB }'),
    '1:60: exporters.a.spool.max_size: expected a size from 1MiB to 1TiB, got "1KiB"',
    '1:76: exporters.a.spool.min_free: expected a size such as 64MiB or 1GB, got "5%"',
    '1:94: exporters.a.spool.segment_size: expected a size from 64KiB to 1GiB, got "2GiB"',
  ],
  [
    'a spool used at times',
    withExporter('type: stdout, spool: { dir: x, use: never }'),
    '1:55: exporters.a.spool.use: expected one of overflow, always, got "never"',
  ],
  [
    'keys of a spool misspelt',
    withExporter('type: stdout, spool: { dir: x, max_bytes: 1GiB, max_ages: 1d }'),
    '1:50: exporters.a.spool.max_bytes: unknown key "max_bytes" (did you mean "max_size"?)',
    '1:67: exporters.a.spool.max_ages: unknown key "max_ages" (did you mean "max_age"?)',
  ],
  [
    'a filter',
    withExporter('type: stdout, filter: { deny: [{ pid_set: [1] }] }'),
    '1:52: exporters.a.filter.deny[0].pid_set: known key "pid_set" is not built in this version of ktrail yet',
  ],
  [
    'times of rotation',
    withExporter('type: file, path: x, rotate: { interval: 0s, max_age: 1, compress: gzip, max_backups: 1 }'),
    '1:60: exporters.a.rotate.interval: expected a duration from 1s to 3650d, got "0s"',
    '1:73: exporters.a.rotate.max_age: expected a duration such as 200ms, 10s, 5m or 6d, got the number 1; add its unit',
    '1:86: exporters.a.rotate.compress: expected true or false, got "gzip"',
    '1:92: exporters.a.rotate.max_backups: unknown key "max_backups" (did you mean "max_files"?)',
  ],
  [
    'rotated files with less room than one takes',
    withExporter('type: file, path: x, rotate: { max_size: 2GiB, max_total_size: 1GiB }'),
    '1:82: exporters.a.rotate.max_total_size: expected at least max_size, which is 2GiB, got "1GiB"',
  ],
  [
    'a dead-letter file without path',
    withExporter('type: stdout, dead_letter: { max_size: 1KiB, max_files: 0 }'),
    '1:46: exporters.a.dead_letter.path: missing; expected a text',
    '1:58: exporters.a.dead_letter.max_size: expected a size from 4KiB to 1TiB, got "1KiB"',
    '1:75: exporters.a.dead_letter.max_files: expected at least 1, got the number 0',
  ],
  [
    'files of two exporters',
    'exporters: { a: { type: file, path: /x/../y }, b: { type: file, path: /y }, c: { type: stdout, dead_letter: { path: /y/. } } }',
    '1:71: exporters.b.path: expected a file that no other exporter writes (exporters.a.path does), got "/y"',
    '1:117: exporters.c.dead_letter.path: expected a file that no other exporter writes (exporters.a.path does), got "/y/."',
  ],
  ['a file without path', withExporter('type: file'), '1:17: exporters.a.path: missing; expected a text'],
  [
    'a mode of four words',
    withExporter('type: file, path: x, mode: "rw-r"'),
    '1:46: exporters.a.mode: expected an octal file mode in quotes, such as "0600", got "rw-r"',
  ],
  [
    'a mode with an 8',
    withExporter('type: file, path: x, mode: "0680"'),
    '1:46: exporters.a.mode: expected an octal file mode in quotes, such as "0600", got "0680"',
  ],
  [
    'an fsync of 0',
    withExporter('type: file, path: x, fsync: 0s'),
    '1:47: exporters.a.fsync: expected never, batch or a duration such as 1s, got "0s"',
  ],
  [
    'a queue too small',
    withExporter('type: stdout, queue: { max_bytes: 1KiB }'),
    '1:53: exporters.a.queue.max_bytes: expected a size from 64KiB to 64GiB, got "1KiB"',
  ],
  [
    'half an event',
    withExporter('type: stdout, queue: { max_events: 1.5 }'),
    '1:54: exporters.a.queue.max_events: expected a whole number, got the number 1.5',
  ],
  [
    'a first wait over the longest',
    withExporter('type: stdout, retry: { initial: 1m }'),
    '1:51: exporters.a.retry.initial: expected at most retry.max, which is 30s, got "1m"',
  ],
  [
    'a longest wait under the first',
    withExporter('type: stdout, retry: { max: 10ms }'),
    '1:40: exporters.a.retry.initial: expected at most retry.max, which is 10ms, got the default',
  ],
  [
    'a timer that would overflow',
    withExporter('type: stdout, timeout: 25d'),
    '1:42: exporters.a.timeout: expected a duration from 1ms to 24d, got "25d"',
  ],
  [
    'a ring that is no power of two',
    withExporter('type: stdout', 'ring: { size: 96KiB }'),
    '2:15: ring.size: expected a power of two such as 16MiB, got "96KiB"',
  ],
  [
    'a ring too small',
    withExporter('type: stdout', 'ring: { size: 32KiB }'),
    '2:15: ring.size: expected a size from 64KiB to 1GiB, got "32KiB"',
  ],
  [
    'a watermark over half',
    withExporter('type: stdout', 'ring: { size: 64KiB, watermark: 33KiB }'),
    '2:33: ring.watermark: expected at most half of ring.size, got "33KiB"',
  ],
  [
    'gRPC on a port without certificates',
    withExporter('type: stdout', 'server: { grpc: "127.0.0.1:54321" }'),
    '2:17: server.grpc: expected server.tls with it, because it can change policies; or a Unix socket, got "127.0.0.1:54321"',
  ],
  [
    'a metric by namespace without pods',
    withExporter('type: stdout', 'kubernetes: { metrics_by_namespace: true }'),
    '2:37: kubernetes.metrics_by_namespace: expected kubernetes.pods: true with it, because the namespaces are those of pods, got true',
  ],
  [
    'certificates for a Unix socket',
    withExporter('type: stdout', 'server: { tls: { cert_file: a, key_file: b, ca_file: c } }'),
    '2:16: server.tls: expected server.grpc to be host:port with it',
  ],
  [
    'a gRPC address that is none',
    withExporter('type: stdout', 'server: { grpc: off }'),
    '2:17: server.grpc: expected an address such as 127.0.0.1:2112 or unix:///run/ktrail/http.sock, or disabled, got "off"',
  ],
  [
    'an address without port',
    withExporter('type: stdout', 'server: { http: localhost }'),
    '2:17: server.http: expected an address such as 127.0.0.1:2112 or unix:///run/ktrail/http.sock, got "localhost"; add the port, such as 127.0.0.1:2112',
  ],
  [
    'an address with a port too high',
    withExporter('type: stdout', 'server: { http: "localhost:65536" }'),
    '2:17: server.http: expected an address such as 127.0.0.1:2112 or unix:///run/ktrail/http.sock, got "localhost:65536"',
  ],
  [
    'an address that is a number',
    withExporter('type: stdout', 'server: { http: 2112 }'),
    '2:17: server.http: expected an address such as 127.0.0.1:2112 or unix:///run/ktrail/http.sock, got the number 2112; write address and port, such as 127.0.0.1:2112, or 0.0.0.0:2112 for all addresses',
  ],
  [
    'an attach mode misspelt',
    withExporter('type: stdout', 'attach: { mode: kprobe.mutli }'),
    '2:17: attach.mode: unknown value "kprobe.mutli" (did you mean "kprobe.multi"?)',
  ],
  [
    'ancestors of kprobes only',
    withExporter('type: stdout', 'enable_ancestors: [kprobe]'),
    '2:19: enable_ancestors: expected base in the list',
  ],
  [
    'ancestors of something else',
    withExporter('type: stdout', 'enable_ancestors: [base, uprobe]'),
    '2:26: enable_ancestors[1]: expected one of base, kprobe, tracepoint, lsm, got "uprobe" (did you mean "kprobe"?)',
  ],
  [
    'options of processes that are no truth values, and as Tetragon spells them',
    withExporter('type: stdout', 'enable_process_cred: 1\nenable-process-ns: true\nusername_metadata: posix'),
    '2:22: enable_process_cred: expected true or false, got the number 1',
    '3:1: enable-process-ns: unknown key "enable-process-ns" (did you mean "enable_process_ns"?)',
    '4:20: username_metadata: expected one of disabled, unix, got "posix"',
  ],
  [
    'policies that are a text',
    withExporter('type: stdout', 'policies: x'),
    '2:11: policies: expected a list, got "x"; write it as a list: [x]',
  ],
  [
    'a policy without name',
    withExporter('type: stdout', 'policies: ["", 5]'),
    '2:12: policies[0]: expected a text that is not empty, got ""',
    '2:16: policies[1]: expected a text, got the number 5; put it in quotes',
  ],
  [
    'a section that is nothing',
    withExporter('type: stdout', 'log:\n'),
    '2:5: log: expected a mapping with level, format, got nothing',
  ],
  [
    'a node name too long',
    withExporter('type: stdout', `node_name: ${'a'.repeat(254)}`),
    `2:12: node_name: expected at most 253 characters, got "${'a'.repeat(57)}..."`,
  ],
  [
    'a key that every object has',
    withExporter('type: stdout', 'constructor: 1'),
    '2:1: constructor: unknown key "constructor"; expected one of node_name, policies, containers, kubernetes, server, exporters, heartbeat, state_dir, ring, attach, procfs, log and 9 others',
  ],
]

describe('loadConfig refuses', () => {
  for (const [name, text, ...want] of BAD) {
    it(name, () =>
      assert.deepEqual(
        problemsOf(text),
        want.map((problem) => `c.yaml:${problem}`),
      ),
    )
  }
})
