import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { describe } from '../../../../exporters/contract/described.ts'
import { isDescribed } from '../../../../exporters/contract/encoded.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import { equal, pickLines, selectionOf, unionOf, within } from '../../../../exporters/filtering/selection.ts'
import type { Selection } from '../../../../exporters/filtering/selection.ts'
import { anyEvents } from '../encoding/otlp/arbitrary.ts'
import { makeExec } from '../support/events.ts'

const encoder = createJsonEncoder({ nodeName: 'n' })
const selection = (...taken: number[]): Selection => ({
  taken: Uint8Array.from(taken),
  count: taken.filter((each) => each === 1).length,
})

test('selection: selected lines are those of the selected events, with their descriptions', () => {
  fc.assert(
    fc.property(anyEvents, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), (events, choice) => {
      const wanted = events.map((_, i) => (choice[i] === true ? 1 : 0))
      const picked = events.filter((_, i) => wanted[i] === 1)
      if (picked.length === 0) return
      const got = pickLines(describe(encoder.encode(events), events), selection(...wanted))
      const want = describe(encoder.encode(picked), picked)
      assert.deepEqual({ ...got, bytes: Buffer.from(got.bytes) }, { ...want, bytes: Buffer.from(want.bytes) })
    }),
  )
})

test('selection: the first number is right for lines without description', () => {
  const events = [3, 4, 5].map((seq) => makeExec({ seq }))
  const got = pickLines(encoder.encode(events), selection(0, 1, 1))
  assert.deepEqual([got.firstSeq, got.count, isDescribed(got)], [4, 2, false])
})

test('selection: calls a filter once for each event', () => {
  const asked: number[] = []
  const filter = {
    filtered: {},
    accepts: ({ seq }: { seq: number }): boolean => {
      asked.push(seq)
      return seq % 2 === 0
    },
  }
  const got = selectionOf(
    [4, 5, 6].map((seq) => makeExec({ seq })),
    filter,
  )
  assert.deepEqual(asked, [4, 5, 6])
  assert.ok(equal(got, selection(1, 0, 1)))
})

test('selection: union, and the positions of a part in it', () => {
  const [a, b] = [selection(1, 0, 0, 1), selection(0, 0, 1, 1)]
  const union = unionOf([a, b], 4)
  assert.ok(equal(union, selection(1, 0, 1, 1)))
  assert.ok(equal(within(union, a), selection(1, 0, 1)))
  assert.ok(equal(within(union, b), selection(0, 1, 1)))
  assert.ok(!equal(a, b))
})
