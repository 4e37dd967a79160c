/** `type: kafka` of the config, as an exporter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import type { ExporterContext } from '../../../../../exporters/sinks/context.ts'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { EncoderPool } from '../../../../../exporters/encoding/pool.ts'
import { make } from '../../../../../exporters/sinks/kafka/make.ts'
import { make as makeOtlp } from '../../../../../exporters/sinks/otlp/make.ts'
import { Numbering } from '../../../../../exporters/contract/numbering.ts'
import { CONTEXT, exporterConfig } from '../../../../support/exporter-config.ts'

const NEEDED = { brokers: ['a:9092'], topic: 't' }

/** The log, one JSON line a message, and a context with that log. */
function logged(): { lines: string[]; context: ExporterContext } {
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(line) })
  const warn = (message: string): void => log.warn(message)
  return {
    lines,
    context: {
      ...CONTEXT,
      name: 'k',
      numbering: new Numbering('k', 'e'),
      encoders: new EncoderPool('n'),
      log,
      sources: [],
      warn,
    },
  }
}

test('kafka config: takes the JSON lines that files take, with a description of each event', async () => {
  const { context } = logged()
  const { exporter, encoder, describe } = await make(exporterConfig('kafka', NEEDED), context)
  assert.deepEqual([exporter.type, exporter.maxConcurrency ?? 1, describe], ['kafka', 1, true])
  assert.equal(encoder, context.encoders.json())
})

test('kafka config: otlp_proto takes the records that an OTLP exporter takes', async () => {
  const { context } = logged()
  const config = exporterConfig('kafka', { ...NEEDED, format: 'otlp_proto', otlp: { arg_labels: true } })
  const { exporter, encoder } = await make(config, context)
  assert.deepEqual([exporter.encoding, encoder.encoding], ['otlp', 'otlp'])
  assert.equal((await makeOtlp(exporterConfig('otlp', { arg_labels: true }), context)).encoder, encoder)
})

test('kafka config: warns of a password sent without encryption, and shows none', async () => {
  const sasl = { mechanism: 'plain', username: 'u', password: 'hush' }
  for (const [keys, warns] of [
    [{ sasl }, true],
    [{ sasl, tls: {} }, false],
    [{ sasl: { ...sasl, mechanism: 'scram-sha-512' } }, false],
  ] as const) {
    const { lines, context } = logged()
    await make(exporterConfig('kafka', { ...NEEDED, ...keys }), context)
    assert.equal(lines.filter((line) => line.includes('sends the password unencrypted')).length, warns ? 1 : 0)
    assert.ok(!lines.join('').includes('hush'))
  }
})

test('kafka config: a certificate that cannot be read stops the start, with a message', async () => {
  const { context } = logged()
  const { exporter } = await make(exporterConfig('kafka', { ...NEEDED, tls: { ca_file: '/nowhere/ca.pem' } }), context)
  await assert.rejects(
    exporter.start(),
    (error) => error instanceof ExportError && error.message.startsWith(`tls.ca_file: cannot read "/nowhere/ca.pem"`),
  )
  await exporter.stop()
})
