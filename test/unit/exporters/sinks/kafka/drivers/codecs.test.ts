import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../../../exporters/contract/errors.ts'
import { codecOf, CODEC_IDS } from '../../../../../../exporters/sinks/kafka/drivers/codecs.ts'
import { NOBODY, RecordBatchWriter } from '../../../../../../exporters/sinks/kafka/drivers/record-batch.ts'

test('kafka codecs: none needs no codec, and a missing codec is refused by name', () => {
  assert.equal(codecOf('none'), undefined)
  assert.throws(
    () => codecOf('snappy'),
    (error) =>
      error instanceof ExportError && /expected none, gzip or zstd, or a codec .*, got "snappy"/.test(error.message),
  )
})

test('kafka codecs: a registered codec gets the whole records, and its number is in the batch', async () => {
  const seen: number[] = []
  const plugged = (records: Buffer): Buffer => {
    seen.push(records.length)
    return Buffer.from('packed')
  }
  const record = { key: null, value: Buffer.from('text'), common: {}, own: {}, timestampMs: 1 }
  const codec = { id: CODEC_IDS.lz4, compress: codecOf('lz4', undefined, plugged) }
  const batch = await new RecordBatchWriter().write([record, record], codec, NOBODY)
  assert.equal(batch.readInt16BE(21), 3)
  assert.equal(batch.subarray(61).toString(), 'packed')
  assert.equal(seen.length, 1)
  assert.ok((seen[0] ?? 0) > 2 * record.value.length)
})
