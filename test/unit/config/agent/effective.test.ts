/** Effective values of omitted keys that follow from other keys. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { effectiveConfig, effectiveExporter, ringWatermarkBytes } from '../../../../config/agent/effective.ts'
import type { EffectiveExporter } from '../../../../config/agent/effective.ts'
import { lokiLimits } from '../../../../config/agent/exporters/otlp.ts'
import { spoolFolder } from '../../../../config/agent/exporters/spool.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'
import type { Config } from '../../../../config/agent/schema.ts'

const HOUR_MS = 3_600_000

function load(text: string): Config {
  const loaded = loadConfig(text, 'c.yaml', {})
  assert.ok('config' in loaded, JSON.stringify(loaded))
  return loaded.config
}

function exporter(keys: string): EffectiveExporter {
  const found = load(`exporters: { a: { ${keys} } }`).exporters['a']
  assert.ok(found !== undefined)
  return effectiveExporter(found, {}).config
}

describe('effective', () => {
  it('the ring wakes at an eighth by default', () => {
    const ring = (keys: string): number =>
      ringWatermarkBytes(load(`ring: { ${keys} }\nexporters: { a: { type: stdout } }`))
    assert.deepEqual([ring('size: 64KiB'), ring('watermark: 1MiB')], [8192, 1 << 20])
  })

  for (const [keys, want] of [
    ['type: stdout', 'drop_newest'],
    ['type: stdout, spool: { dir: /s }', 'spool'],
    ['type: stdout, spool: { dir: /s }, queue: { when_full: block }', 'block'],
  ] as const) {
    it(`a full queue: ${keys}`, () => assert.equal(exporter(keys).queue.when_full, want))
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
    it(`age in the spool: ${keys}`, () => assert.equal(exporter(keys).spool?.max_age, want))
  }

  it('records are checked against the age that Loki accepts', () => {
    assert.equal(lokiLimits(true)?.max_age, 7 * 24 * HOUR_MS)
  })

  it('a spool has no more files than a start can open in time, for any configured size', () => {
    const { spool } = exporter('type: stdout, spool: { dir: /s, max_size: 10GiB, segment_size: 64KiB }')
    assert.equal(spool?.segment_size, ((10 << 10) * (1 << 20)) / 4096)
  })

  for (const [dir, want] of [
    ['/s/', '/s/a'],
    ['/s//', '/s/a'],
    ['/', '/a'],
    ['s', join(process.cwd(), 's/a')],
    ['.', join(process.cwd(), 'a')],
  ] as const) {
    it(`the folder of a spool in ${dir} is ${want}`, () => {
      const { spool } = exporter(`type: stdout, spool: { dir: ${dir} }`)
      assert.equal(spool && spoolFolder('a', spool), want)
    })
  }

  for (const [keys, want] of [
    ['', 4],
    [', loki: true', 1],
    [', loki: {}', 1],
    [', concurrency: { max: 3 }', 3],
  ] as const) {
    it(`requests at a time: otlp${keys}`, () => {
      const found = exporter(`type: otlp${keys}`)
      assert.ok(found.type === 'otlp')
      assert.equal(found.concurrency.max, want)
    })
  }

  for (const [keys, want] of [
    ['', 'json'],
    [', loki: true', 'text'],
    [', loki: { max_line_size: 1MiB }', 'text'],
    [', loki: true, body: json', 'json'],
    [', body: none', 'none'],
  ] as const) {
    it(`the body of records: otlp${keys}`, () => {
      const found = exporter(`type: otlp${keys}`)
      assert.equal(found.type === 'otlp' && found.body, want)
    })
  }

  for (const [keys, want] of [
    ['', [false, false]],
    [', loki: false', [false, false]],
    [', loki: true', [true, true]],
    [', loki: { max_line_size: 1MiB }', [true, true]],
    [', loki: true, event_name_attribute: false, command_line: false', [false, false]],
    [', event_name_attribute: true', [true, false]],
  ] as const) {
    it(`the attributes event_name and process.command_line of records: otlp${keys}`, () => {
      const found = exporter(`type: otlp${keys}`)
      assert.ok(found.type === 'otlp')
      assert.deepEqual([found.event_name_attribute, found.command_line], want)
    })
  }

  it('the resource of OTLP records in Kafka comes from config and variables', () => {
    const keys = 'format: otlp_proto, otlp: { arg_labels: true, resource_attributes: { a: b } }'
    const { k } = load(`exporters: { k: { type: kafka, brokers: ["a:1"], topic: t, ${keys} } }`).exporters
    assert.ok(k !== undefined)
    const env = {
      OTEL_SERVICE_NAME: 'mine',
      OTEL_RESOURCE_ATTRIBUTES: 'team=sec,broken',
      OTEL_EXPORTER_OTLP_TIMEOUT: 'x',
    }
    const { config, sources, warnings } = effectiveExporter(k, env)
    assert.ok(config.type === 'kafka')
    assert.deepEqual(
      [config.otlp?.service_name, config.otlp?.resource_attributes, config.otlp?.arg_labels],
      ['mine', { a: 'b', team: 'sec' }, true],
    )
    assert.deepEqual(sources, [
      [['otlp', 'resource_attributes', 'team'], 'OTEL_RESOURCE_ATTRIBUTES'],
      [['otlp', 'service_name'], 'OTEL_SERVICE_NAME'],
    ])
    // Variables for OTLP over HTTP do not apply to this exporter.
    assert.deepEqual(warnings, ['OTEL_RESOURCE_ATTRIBUTES: a pair is ignored: expected key=value, percent-encoded'])
  })

  it('the effective config reads back as the same', () => {
    const text = `exporters:
  a: { type: otlp, loki: true, spool: { dir: /s } }
  b: { type: stdout, rate_limit: { events: 3 } }
`
    const loaded = loadConfig(text, 'c.yaml', {})
    assert.ok('config' in loaded)
    const { config } = effectiveConfig(loaded.config, {})
    assert.equal(config.exporters['b']?.rate_limit?.burst, 3)
    const again = load(printConfig(loaded, { effective: true, config }))
    assert.deepEqual(effectiveConfig(again, {}).config, config)
    assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(config)))
  })
})
