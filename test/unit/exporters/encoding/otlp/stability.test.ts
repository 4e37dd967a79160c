/** The table of stable attributes in docs/reference/otlp-records.md, held against OpenTelemetry's package of names. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { KEYS, containerLabelKey, podLabelKey } from '../../../../../exporters/encoding/otlp/attributes.ts'
import { resourceAttributes } from '../../../../../exporters/encoding/otlp/resource.ts'
import { RESOURCE } from '../../sinks/otlp/support.ts'

const LABEL = '<label>'
// The SDK brings the package.
const require = createRequire(createRequire(import.meta.url).resolve('@opentelemetry/sdk-logs'))
const exported = Object.entries<unknown>(require('@opentelemetry/semantic-conventions')).filter(([name]) =>
  name.startsWith('ATTR_'),
)
const stable = new Set(
  exported.map(([, value]): unknown => (typeof value === 'function' ? value(LABEL) : value)).map(String),
)

const page = readFileSync(new URL('../../../../../docs/reference/otlp-records.md', import.meta.url), 'utf8')
const [, section = ''] = page.split('\n## Stability\n')
const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| '))
/** The names of a column; `k8s.*` stands for all names with this prefix. */
const column = (at: number): string[] =>
  rows.flatMap((row) => [...(row.split('|')[at] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))
const has = (names: readonly string[], name: string): boolean =>
  names.some((each) => (each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : each === name))

const own = [
  ...Object.values(KEYS).map(({ name }) => name),
  ...[containerLabelKey(LABEL), podLabelKey(LABEL)].map(({ name }) => name),
  ...Object.keys(resourceAttributes({ ...RESOURCE, hostId: 'h', kubernetes: true, clusterName: 'c' })),
].filter((name) => !name.startsWith('ktrail.') && name !== 'event_name')

test('otlp: the page has each attribute of the conventions once, stable or not as OpenTelemetry declares it', () => {
  assert.ok(stable.has('service.name') && own.length > 40)
  for (const name of own) {
    assert.deepEqual([has(column(1), name), has(column(2), name)], [stable.has(name), !stable.has(name)], name)
  }
})

test('otlp: the page names no attribute as stable or not that records lack', () => {
  for (const each of [...column(1), ...column(2)])
    assert.ok(
      own.some((name) => has([each], name)),
      each,
    )
})
