import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describe } from '../../../../exporters/contract/described.ts'
import { createJsonEncoder } from '../../../../exporters/index.ts'
import { isDescribed, slice, split } from '../../../../exporters/contract/encoded.ts'
import { makeExec, makeExit, makeHook, makeKprobe, makeLoss } from '../support/events.ts'

const hook = makeHook({ policy: 'files' })
const events = [
  makeExec({ seq: 7, time: { sec: 1, nsec: 999_999_999 } }),
  makeKprobe({ seq: 9, hook, time: { sec: 2, nsec: 0 } }),
  makeKprobe({ seq: 12, hook, time: { sec: 2, nsec: 1_000_000 } }),
  makeExit({ seq: 13, time: { sec: 3, nsec: 0 } }),
]
const whole = describe(createJsonEncoder({ nodeName: 'n' }).encode(events), events)

test('described: contains type, policy, milliseconds and sequence of each event', () => {
  assert.deepEqual(
    whole.abouts.map(({ type, policy }) => [type, policy]),
    [
      ['process_exec', ''],
      ['process_kprobe', 'files'],
      ['process_kprobe', 'files'],
      ['process_exit', ''],
    ],
  )
  assert.deepEqual([...whole.times], [1999, 2000, 2001, 3000])
  assert.deepEqual([...whole.seqs], [7, 9, 12, 13])
})

test('described: events of a type share one description', () => {
  assert.equal(whole.abouts[1], whole.abouts[2])
})

test('described: a slice has the descriptions of its own events, also with gaps in the numbers', () => {
  const piece = slice(whole, 1, 3)
  assert.ok(isDescribed(piece))
  assert.equal(piece.firstSeq, 9)
  assert.deepEqual([...piece.seqs], [9, 12])
  assert.deepEqual([...piece.times], [2000, 2001])
  assert.equal(piece.abouts.length, 2)
})

test('described: joined slices equal the whole', () => {
  const seqs = split(whole, 1, 1).flatMap((piece) => (isDescribed(piece) ? [...piece.seqs] : []))
  assert.deepEqual(seqs, [7, 9, 12, 13])
})

test('described: a loss record is described by the place and reason of the loss', () => {
  const lost = makeLoss({ seq: 14 })
  const { abouts, seqs } = describe(createJsonEncoder({ nodeName: 'n' }).encode([lost]), [lost])
  assert.deepEqual(abouts, [{ type: 'events_lost', policy: '', loss: { ...lost.loss, count: lost.count } }])
  assert.deepEqual([...seqs], [14])
})
