import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEYS } from '../../../../../exporters/encoding/otlp/attributes.ts'
import { ProtoWriter, numberedText } from '../../../../../exporters/encoding/otlp/protobuf.ts'

const NUMBERS = [0, 1, 9, 10, 11, 99, 100, 7, 4_294_967_295, 4_294_967_296, 12, Number.MAX_SAFE_INTEGER, 13]

for (const prefix of ['run-', 'é-', 'p'.repeat(60), 'p'.repeat(300)]) {
  test(`protobuf: a text that ends in a number has the bytes of a whole text, after "${prefix.slice(0, 5)}"`, () => {
    const [out, whole] = [new ProtoWriter(), new ProtoWriter()]
    const text = numberedText(KEYS.uid, prefix)
    for (const number of NUMBERS) {
      out.numbered(text, number)
      whole.text(KEYS.uid, `${prefix}${number}`)
      assert.deepEqual(out.take(), whole.take(), String(number))
    }
  })
}
