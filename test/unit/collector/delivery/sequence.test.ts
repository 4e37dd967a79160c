import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Sequence } from '../../../../collector/delivery/sequence.ts'
import { makeExec, makeLoss } from '../../exporters/support/events.ts'

test('sequence: all events, also loss records, are numbered in order without gaps', () => {
  const sequence = new Sequence(40)
  const seqs = (count: number): number[] =>
    sequence.number(Array.from({ length: count }, () => makeExec({ seq: 0 }))).map(({ seq }) => seq)
  assert.deepEqual([seqs(0), seqs(3)], [[], [40, 41, 42]])
  const [lost] = sequence.number([makeLoss({ seq: 0 })])
  assert.equal(lost?.seq, 43)
  assert.deepEqual(seqs(1), [44])
})

test('sequence: the same array is returned', () => {
  const events = [makeExec()]
  assert.equal(new Sequence().number(events), events)
})
