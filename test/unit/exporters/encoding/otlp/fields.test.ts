import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fieldsOf } from '../../../../../exporters/encoding/otlp/fields.ts'

const MAX = 2n ** 64n - 1n
const GOOD: ReadonlyArray<readonly [name: string, message: number[], want: readonly object[]]> = [
  ['nothing', [], []],
  ['a varint of ten bytes', [0x08, ...Array<number>(9).fill(0xff), 0x01], [{ number: 1, value: MAX, bytes: '' }]],
  ['eight bytes', [0x09, ...Array<number>(8).fill(0xff)], [{ number: 1, value: MAX, bytes: '' }]],
  ['four bytes, as flags of a LogRecord', [0x45, 1, 0, 0, 0x80], [{ number: 8, value: 0x8000_0001n, bytes: '' }]],
  ['a text', [0x12, 2, 0x68, 0x69], [{ number: 2, value: 0n, bytes: 'hi' }]],
  ['a large field number', [0xfa, 0xff, 0xff, 0xff, 0x0f, 0], [{ number: 2 ** 29 - 1, value: 0n, bytes: '' }]],
]
for (const [name, message, want] of GOOD) {
  test(`protobuf fields: ${name}`, () => {
    const found = fieldsOf(Uint8Array.from(message))
    assert.deepEqual(
      found.map(({ bytes, ...field }) => ({ ...field, bytes: bytes?.toString() ?? '' })),
      want,
    )
  })
}

const BAD: ReadonlyArray<readonly [name: string, message: number[]]> = [
  ['a varint that does not end', [0x08, 0xff]],
  ['a varint of eleven bytes', [0x08, ...Array<number>(10).fill(0xff), 0x01]],
  ['seven of eight bytes', [0x09, ...Array<number>(7).fill(0)]],
  ['three of four bytes', [0x0d, 0, 0, 0]],
  ['a text that is longer than the message', [0x12, 3, 0x68, 0x69]],
  ['a text of 2^64 bytes', [0x12, ...Array<number>(9).fill(0xff), 0x01]],
  ['a group', [0x0b, 0x0c]],
  ['wire type 7', [0x0f]],
]
for (const [name, message] of BAD) {
  test(`protobuf fields: ${name} is refused`, () => {
    assert.throws(() => fieldsOf(Uint8Array.from(message)), RangeError)
  })
}

test('protobuf fields: a cut message keeps the bytes of its last text', () => {
  assert.equal(fieldsOf(Uint8Array.of(0x12, 99, 0x68, 0x69), true)[0]?.bytes?.toString(), 'hi')
})
