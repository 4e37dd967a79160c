/** What is in force where a value is left out and follows from others. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  filledIn,
  requestsAtOnce,
  ringWatermarkBytes,
  spoolMaxAgeMs,
  whenFull,
} from '../../../../config/agent/effective.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'
import type { Config, ExporterConfig } from '../../../../config/agent/schema.ts'
import { LOKI_LIMITS } from '../../../../exporters/index.ts'

const HOUR_MS = 3_600_000

function load(text: string): Config {
  const loaded = loadConfig(text, 'c.yaml', {})
  assert.ok('config' in loaded, JSON.stringify(loaded))
  return loaded.config
}

function exporter(keys: string): ExporterConfig {
  const found = load(`exporters: { a: { ${keys} } }`).exporters['a']
  assert.ok(found !== undefined)
  return found
}

describe('in force', () => {
  it('the ring wakes at an eighth unless told otherwise', () => {
    const ring = (keys: string): number =>
      ringWatermarkBytes(load(`ring: { ${keys} }\nexporters: { a: { type: stdout } }`))
    assert.deepEqual([ring('size: 64KiB'), ring('watermark: 1MiB')], [8192, 1 << 20])
  })

  for (const [keys, want] of [
    ['type: stdout', 'drop_newest'],
    ['type: stdout, spool: { dir: /s }', 'spool'],
    ['type: stdout, spool: { dir: /s }, queue: { when_full: block }', 'block'],
  ] as const) {
    it(`a full queue: ${keys}`, () => assert.equal(whenFull(exporter(keys)), want))
  }

  for (const [keys, want] of [
    ['type: otlp, loki: true', undefined],
    ['type: otlp, loki: true, spool: { dir: /s }', 156 * HOUR_MS],
    ['type: otlp, loki: { max_line_size: 1MiB }, spool: { dir: /s }', 156 * HOUR_MS],
    ['type: otlp, loki: { max_age: 14h }, spool: { dir: /s }', 13 * HOUR_MS],
    ['type: otlp, loki: { max_age: 1s }, spool: { dir: /s }', 1000],
    ['type: otlp, loki: true, spool: { dir: /s, max_age: 1h }', HOUR_MS],
    ['type: otlp, spool: { dir: /s }', undefined],
    ['type: stdout, spool: { dir: /s }', undefined],
  ] as const) {
    it(`age in the spool: ${keys}`, () => assert.equal(spoolMaxAgeMs(exporter(keys)), want))
  }

  it('the age that Loki takes is the one that records are checked by', () => {
    assert.equal(LOKI_LIMITS.maxAgeMs, 7 * 24 * HOUR_MS)
  })

  for (const [keys, want] of [
    ['', 4],
    [', loki: true', 1],
    [', loki: {}', 1],
    [', concurrency: { max: 3 }', 3],
  ] as const) {
    it(`requests at a time: otlp${keys}`, () => {
      const found = exporter(`type: otlp${keys}`)
      assert.ok(found.type === 'otlp')
      assert.equal(requestsAtOnce(found), want)
    })
  }

  it('what is filled in is a config that says the same when it is read again', () => {
    const text = `exporters:
  a: { type: otlp, loki: true, spool: { dir: /s } }
  b: { type: stdout, rate_limit: { events: 3 } }
`
    const loaded = loadConfig(text, 'c.yaml', {})
    assert.ok('config' in loaded)
    const config = filledIn(loaded.config)
    assert.equal(config.exporters['b']?.rate_limit?.burst, 3)
    assert.deepEqual(load(printConfig({ ...loaded, config }, { effective: true })), config)
    assert.deepEqual(filledIn(config), config)
  })
})
