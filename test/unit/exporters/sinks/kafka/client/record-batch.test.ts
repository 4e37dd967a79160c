import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { Reader, readRecordsBatch } from '@platformatic/kafka'
import fc from 'fast-check'
import { codecOf } from '../../../../../../exporters/sinks/kafka/client/codecs.ts'
import { RecordBatchWriter } from '../../../../../../exporters/sinks/kafka/client/record-batch.ts'
import type { KafkaRecord } from '../../../../../../exporters/sinks/kafka/client/record-batch.ts'

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array))
const headers = fc.dictionary(fc.stringMatching(/^[a-z_]{1,12}$/), fc.string({ unit: 'grapheme', maxLength: 20 }), {
  maxKeys: 4,
})
const record: fc.Arbitrary<KafkaRecord> = fc.record({
  key: fc.option(bytes(80)),
  value: bytes(400),
  common: headers,
  own: headers,
  timestampMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
})
const NOBODY = { producerId: -1n, epoch: -1, sequence: 0 }

for (const compression of ['none', 'gzip', 'zstd'] as const) {
  test(`kafka record batch: a batch with compression ${compression} reads back the same with another library`, async () => {
    const writer = new RecordBatchWriter()
    const codec = await codecOf({ compression })
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 20 }), async (records) => {
        const batch = readRecordsBatch(Reader.from(await writer.write(records, codec, NOBODY)))
        assert.equal(batch.records.length, records.length)
        assert.equal(batch.lastOffsetDelta, records.length - 1)
        assert.equal(batch.producerId, -1n)
        assert.equal(batch.maxTimestamp, BigInt(Math.max(...records.map(({ timestampMs }) => timestampMs))))
        for (const [i, want] of records.entries()) {
          const got = batch.records[i]
          assert.equal(batch.firstTimestamp + (got?.timestampDelta ?? 0n), BigInt(want.timestampMs))
          assert.equal(got?.offsetDelta, i)
          assert.deepEqual(got?.value, want.value)
          if (want.key !== null && want.key.length > 0) assert.deepEqual(got?.key, want.key)
          const pairs = [...Object.entries(want.common), ...Object.entries(want.own)]
          assert.deepEqual(
            got?.headers.map(([name, value]) => [String(name), String(value)]),
            pairs,
          )
        }
      }),
      { numRuns: 60 },
    )
  })
}

const one = (text: string): KafkaRecord[] => [
  { key: null, value: Buffer.from(text), common: {}, own: {}, timestampMs: 1 },
]

test('kafka record batch: two batches written at once by a codec in a thread do not interfere', async () => {
  const writer = new RecordBatchWriter()
  const slow = { id: 1, compress: async (raw: Buffer) => (await new Promise(setImmediate), gzipSync(raw)) }
  const written = await Promise.all(['first', 'second'].map((text) => writer.write(one(text), slow, NOBODY)))
  const values = written.map((batch) => readRecordsBatch(Reader.from(batch)).records[0]?.value?.toString())
  assert.deepEqual(values, ['first', 'second'])
})
