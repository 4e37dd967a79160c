/** `config print --effective` says what OTEL_* variables add, and that it was they. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configPrintCommand } from '../../../../collector/commands/config.ts'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'

async function shown(
  exporter: string,
  env: Readonly<Record<string, string>>,
  flags = ['--effective'],
): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-'))
  try {
    const file = join(folder, 'c.yaml')
    writeFileSync(file, `exporters:\n  o: { ${exporter} }\n  f: { type: file, path: /x }\n`)
    let text = ''
    const print = (all: string | Uint8Array): Promise<boolean> => {
      text += all.toString()
      return Promise.resolve(true)
    }
    const code = await configPrintCommand([...flags, '--config', file], {
      env,
      print,
      say: (line) => assert.fail(line),
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
    'the config, which wins',
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
] as const) {
  test(`config print --effective: shows ${name}`, async () => {
    const lines = await shown(exporter, env)
    for (const line of expected) assert.ok(lines.includes(line), `${line} in\n${lines.join('\n')}`)
    for (const pattern of absent) assert.doesNotMatch(lines.join('\n'), pattern)
  })
}

test('config print: without --effective shows what was written', async () => {
  const lines = await shown('type: otlp', { [`${PREFIX}ENDPOINT`]: 'http://c:1' }, [])
  assert.deepEqual(lines, ['exporters:', 'o:', 'type: otlp', 'f:', 'type: file', 'path: /x', ''])
})
