/** Both compressors, Node's and the addon's: decompressing returns the input. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { nodeCompressors } from '../../../../exporters/runtime/compression.ts'
import type { Compress } from '../../../../exporters/runtime/compression.ts'
import { NativeError, gzip, zstd } from '../../../../native/index.ts'
import { inflate } from '../../../support/otlp/decode.ts'
import { numbers } from '../support/lines.ts'

const sizes: ReadonlyArray<readonly [name: string, chunks: readonly Uint8Array[]]> = [
  ['nothing', []],
  ['an empty chunk', [Buffer.alloc(0)]],
  ['one byte', [Buffer.from('x')]],
  ['several chunks, some of them empty', [Buffer.alloc(0), Buffer.from('head'), randomBytes(1000), Buffer.alloc(0)]],
  ['many chunks', numbers(0, 5000).map((i) => Buffer.from(`chunk ${i % 7} `))],
  ['more than the first room for it', [Buffer.alloc(300 << 10, 'ab'), randomBytes(300 << 10)]],
  ['random bytes, which grow', [randomBytes(2 << 20)]],
  ['very much of the same', [Buffer.alloc(20 << 20, 'abc')]],
  [
    'a view into larger bytes',
    [Buffer.from('0123456789').subarray(3, 7), new Uint8Array(Buffer.from('abcdef')).subarray(1)],
  ],
]
const makers: ReadonlyArray<readonly [by: 'gzip' | 'zstd', who: string, compress: Compress]> = [
  ['gzip', 'node', nodeCompressors.gzip],
  ['zstd', 'node', nodeCompressors.zstd],
  ['gzip', 'addon', gzip],
  ['zstd', 'addon', zstd],
]
for (const [by, who, compress] of makers) {
  for (const [name, chunks] of sizes) {
    test(`compression: ${by} by ${who} of ${name} decompresses to the input`, async () => {
      // Twice: the second time with the cached state of the thread.
      for (let i = 0; i < 2; i++) assert.deepEqual(inflate(await compress(chunks), by), Buffer.concat(chunks))
    })
  }

  test(`compression: several ${by} by ${who} at a time have their own results, in any order of completion`, async () => {
    for (let round = 0; round < 5; round++) {
      const bodies = numbers(0, 12).map((i) => [Buffer.alloc(10 + i * 40_000, `${round}-${i} `), randomBytes(i * 1000)])
      const back = await Promise.all(bodies.map(async (chunks) => inflate(await compress(chunks), by)))
      assert.deepEqual(
        back,
        bodies.map((chunks) => Buffer.concat(chunks)),
      )
    }
  })
}

for (const [name, compress] of Object.entries({ gzip, zstd })) {
  test(`compression: ${name} by the addon compresses repetitive bodies and keeps no reference to its input`, async () => {
    const chunks = [Buffer.alloc(1 << 20, '{"process":{"pid":1}}')]
    const under = compress(chunks)
    chunks.length = 0
    const body = await under
    assert.ok(body.length < 20_000, `${body.length} bytes`)
    assert.equal(inflate(body, name === 'gzip' ? 'gzip' : 'zstd').length, 1 << 20)
  })

  for (const wrong of [undefined, 'text', [Buffer.from('a'), 'text']]) {
    test(`compression: ${name} by the addon refuses ${JSON.stringify(wrong)}`, () => {
      assert.throws(
        () => Reflect.apply(compress, undefined, [wrong]),
        (error) =>
          error instanceof NativeError && error.code === 'BAD_ARGUMENT' && /expected .*Uint8Array/.test(error.message),
      )
    })
  }
}
