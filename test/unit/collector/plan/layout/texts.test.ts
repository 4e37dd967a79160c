/** Entries of text values, looked up as the kernel side does it, against a plain search. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { textEntries } from '../../../../../collector/plan/layout/texts.ts'
import type { TextEntry } from '../../../../../collector/plan/layout/texts.ts'
import { TEXT_KEY_BYTES } from '../../../../../collector/wire/wire.ts'

const FILTER = 3

function entriesOf(values: readonly string[]): TextEntry[] {
  let last = FILTER
  return textEntries(
    FILTER,
    values.map((value) => Buffer.from(value)),
    () => ++last,
  )
}

/** As bpf/frame/texts.h and `longest_value` in bpf/call/text.h. */
function longest(entries: readonly TextEntry[], text: Buffer): number {
  let found = 0
  for (let [tree, from] = [FILTER, 0]; tree !== 0; from += TEXT_KEY_BYTES) {
    const rest = text.subarray(from, from + TEXT_KEY_BYTES)
    const [stored] = entries
      .filter(({ filter, bytes }) => filter === tree && rest.subarray(0, bytes.length).equals(bytes))
      .toSorted((a, b) => b.bytes.length - a.bytes.length)
    if (stored === undefined) break
    if (stored.len > 0) found = stored.len
    tree = stored.next
  }
  return found
}

const ofLength = (length: number): string => 'a'.repeat(length)

test('texts: a short value is one entry, a long one an entry for each 252 bytes', () => {
  assert.deepEqual(
    entriesOf(['/etc/', ofLength(252), ofLength(253), ofLength(4095)]).map(({ filter, bytes, len, next }) => [
      filter,
      bytes.length,
      len,
      next,
    ]),
    [
      [3, 5, 5, 0],
      [3, 252, 252, 4],
      [4, 1, 253, 0],
      // 16 × 252 + 63
      [4, 252, 253, 5],
      ...Array.from({ length: 14 }, (_, i) => [5 + i, 252, 253, 6 + i]),
      [19, 63, 4095, 0],
    ],
  )
})

test('texts: the longest value that begins a text is found, whatever the lengths', () => {
  // Runs of few letters, so that values begin each other.
  const text = fc
    .array(fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom(1, 100, 250, 251, 252, 253, 504, 505)), {
      minLength: 1,
      maxLength: 5,
    })
    .map((runs) => runs.map(([letter, times]) => letter.repeat(times)).join(''))
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 8 }), text, (values, other) => {
      const entries = entriesOf(values)
      for (const each of [other, ...values, ...values.map((value) => `${value}b`)]) {
        const want = Math.max(0, ...values.filter((value) => each.startsWith(value)).map((value) => value.length))
        assert.equal(longest(entries, Buffer.from(each)), want)
      }
    }),
  )
})
