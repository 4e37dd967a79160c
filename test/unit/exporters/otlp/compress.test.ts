import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Compressor } from '../../../../exporters/otlp/compress.ts'
import type { Compression } from '../../../../exporters/otlp/compress.ts'
import { inflate } from '../../../support/otlp/decode.ts'
import { numbers } from '../support/lines.ts'

const sizes: ReadonlyArray<readonly [name: string, chunks: readonly Uint8Array[]]> = [
  ['nothing', []],
  ['one byte', [Buffer.from('x')]],
  ['several chunks, some of them empty', [Buffer.alloc(0), Buffer.from('head'), randomBytes(1000), Buffer.alloc(0)]],
  ['more than its buffers are large at first', [Buffer.alloc(300 << 10, 'ab'), randomBytes(300 << 10)]],
  ['more than zlib hands out at once', [randomBytes(2 << 20)]],
  ['more than a buffer that is kept', [Buffer.alloc(5 << 20, 'abc')]],
]
for (const by of ['gzip', 'zstd'] as const) {
  for (const [name, chunks] of sizes) {
    test(`compress: ${by} of ${name} comes back as it was`, async () => {
      const compressor = new Compressor(by)
      // Twice: the second time in a buffer that has been used.
      for (let i = 0; i < 2; i++) assert.deepEqual(await bodyOf(compressor, by, chunks), Buffer.concat(chunks))
    })
  }

  test(`compress: several ${by} at a time, each its own, whatever ends first`, async () => {
    const compressor = new Compressor(by)
    for (let round = 0; round < 5; round++) {
      const bodies = numbers(0, 12).map((i) => [Buffer.alloc(10 + i * 40_000, `${round}-${i} `), randomBytes(i * 1000)])
      const back = await Promise.all(bodies.map((chunks) => bodyOf(compressor, by, chunks)))
      assert.deepEqual(
        back,
        bodies.map((chunks) => Buffer.concat(chunks)),
      )
    }
  })
}

test('compress: none hands the chunks on', async () => {
  const chunks = [Buffer.from('a'), Buffer.from('b')]
  assert.equal(await new Compressor('none').compress(chunks), chunks)
})

async function bodyOf(compressor: Compressor, by: Compression, chunks: readonly Uint8Array[]): Promise<Buffer> {
  return inflate(Buffer.concat(await compressor.compress(chunks)), by)
}
