/** Where an exporter's records are stored: only another place is another destination. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExporterConfig } from '../../../config/agent/schema.ts'
import { effectiveExporter } from '../../../config/agent/effective.ts'
import { configOrThrow } from '../../../config/agent/check.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { destinationOf } from '../../../exporters/destination.ts'

function destination(text: string): string {
  const { config } = configOrThrow(loadConfig(`exporters: { a: { ${text} } }\n`, 'c.yaml', {}))
  const [written]: ReadonlyArray<ExporterConfig | undefined> = Object.values(config.exporters)
  assert.ok(written !== undefined)
  return destinationOf(effectiveExporter(written, {}).config)
}

const KAFKA = 'type: kafka, brokers: ["a:9092"], topic: one'
const LOKI = 'type: otlp, endpoint: "http://loki:3100/otlp"'
const ROWS: ReadonlyArray<readonly [what: string, before: string, after: string, moved: boolean]> = [
  ['another topic', KAFKA, KAFKA.replace('one', 'two'), true],
  ['another broker to begin with', KAFKA, KAFKA.replace('a:9092', 'b:9092'), false],
  ['another batch', KAFKA, `${KAFKA}, batch: { max_wait: 5s }`, false],
  ['another tenant', `${LOKI}, headers: { x-scope-orgid: a }`, `${LOKI}, headers: { X-Scope-OrgID: b }`, true],
  [
    'the tenant in other letters',
    `${LOKI}, headers: { x-scope-orgid: a }`,
    `${LOKI}, headers: { X-Scope-OrgID: a }`,
    false,
  ],
  ['another token', `${LOKI}, headers: { authorization: a }`, `${LOKI}, headers: { authorization: b }`, false],
  ['another address', LOKI, LOKI.replace('loki:', 'other:'), true],
  ['another file', 'type: file, path: /a', 'type: file, path: /b', true],
  ['another format', 'type: file, path: /a', 'type: file, path: /a, format: extended', false],
  ['another type', 'type: stdout', 'type: file, path: /a', true],
]
for (const [what, before, after, moved] of ROWS) {
  test(`destination: ${what} is ${moved ? 'another' : 'the same'}`, () => {
    assert.equal(destination(before) !== destination(after), moved)
    assert.match(destination(before), /^[0-9a-f]{16}$/)
  })
}
