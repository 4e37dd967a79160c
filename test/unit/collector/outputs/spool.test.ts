import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { spoolFolderOf, spoolOptionsOf } from '../../../../collector/outputs/spool.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { ExporterConfig } from '../../../../config/agent/schema.ts'

function exporter(spool: string): ExporterConfig {
  const result = loadConfig(`exporters: { a: { type: stdout${spool} } }`, 'c.yaml', {})
  const config = 'config' in result ? result.config.exporters['a'] : undefined
  if (config === undefined) throw new Error(JSON.stringify(result))
  return config
}

test('spool options: none where none is configured', () => {
  assert.equal(spoolOptionsOf('a', exporter(''), 'e'), undefined)
  assert.equal(spoolFolderOf('a', exporter('')), undefined)
})

test('spool options: the defaults', () => {
  assert.deepEqual(spoolOptionsOf('a', exporter(', spool: { dir: /s }'), 'e'), {
    dir: '/s/a',
    fsync: { intervalMs: 200 },
    maxBytes: 1 << 30,
    minFreeBytes: 1 << 30,
    segmentBytes: 16 << 20,
    epoch: 'e',
  })
})

test('spool options: every key', () => {
  const config = exporter(
    ', spool: { dir: /s, max_size: 2MiB, max_age: 1h, min_free: 0B, fsync: batch, segment_size: 64KiB, use: always }',
  )
  assert.deepEqual(spoolOptionsOf('a', config, 'e'), {
    dir: '/s/a',
    fsync: 'batch',
    maxBytes: 2 << 20,
    maxAgeMs: 3_600_000,
    minFreeBytes: 0,
    segmentBytes: 64 << 10,
    epoch: 'e',
  })
})

test('spool options: for Loki with an age, because it refuses old entries', () => {
  const loaded = loadConfig('exporters: { a: { type: otlp, loki: true, spool: { dir: /s } } }', 'c.yaml', {})
  const config = 'config' in loaded ? loaded.config.exporters['a'] : undefined
  assert.ok(config !== undefined)
  assert.equal(spoolOptionsOf('a', config, 'e')?.maxAgeMs, 156 * 3_600_000)
})

test('spool options: no more files than a start can open in time, however small they are asked for', () => {
  const config = exporter(', spool: { dir: /s, max_size: 10GiB, segment_size: 64KiB }')
  assert.equal(spoolOptionsOf('a', config, 'e')?.segmentBytes, ((10 << 10) * (1 << 20)) / 4096)
})

for (const [dir, want] of [
  ['/s/', '/s/a'],
  ['/s//', '/s/a'],
  ['/', '/a'],
  ['s', join(process.cwd(), 's/a')],
  ['.', join(process.cwd(), 'a')],
] as const) {
  test(`spool options: the folder in ${dir} is ${want}`, () => {
    assert.equal(spoolFolderOf('a', exporter(`, spool: { dir: ${dir} }`)), want)
  })
}
