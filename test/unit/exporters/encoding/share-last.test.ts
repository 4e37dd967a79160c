/** One encoding for several exporters: some keep the bytes, others only read them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import { shareLast } from '../../../../exporters/encoding/share-last.ts'
import type { Encoded, Encoder } from '../../../../exporters/contract/exporter.ts'
import { makeExec } from '../support/events.ts'
import { numbers } from '../support/lines.ts'

const plain = createJsonEncoder({ nodeName: 'n' })
const textOf = ({ bytes }: Encoded): string => Buffer.from(bytes).toString()
const eventsFrom = (seq: number): Event[] => numbers(seq, seq + 3).map((each) => makeExec({ seq: each }))

/** A shared encoder, and the number of its encodings. */
function counted(): { readonly shared: Encoder; readonly calls: () => number } {
  const inner = createJsonEncoder({ nodeName: 'n' })
  let calls = 0
  const shared = shareLast({
    encoding: 'json',
    encode: (events) => {
      calls++
      return inner.encode(events)
    },
    borrow: (events) => {
      calls++
      return inner.borrow?.(events) ?? inner.encode(events)
    },
  })
  return { shared, calls: () => calls }
}

const borrow = (encoder: Encoder, events: readonly Event[]): Encoded => {
  assert.ok(encoder.borrow !== undefined)
  return encoder.borrow(events)
}

test('json: borrowed bytes equal kept ones, and the next encoding overwrites them', () => {
  const encoder = createJsonEncoder({ nodeName: 'n' })
  const [a, b] = [eventsFrom(0), eventsFrom(7)]
  const first = borrow(encoder, a)
  assert.equal(textOf(first), textOf(plain.encode(a)))
  assert.deepEqual([...first.ends], [...plain.encode(a).ends])
  const second = borrow(encoder, b)
  assert.equal(textOf(second), textOf(plain.encode(b)))
  assert.equal(first.bytes.buffer, second.bytes.buffer)
  assert.notEqual(encoder.encode(a).bytes.buffer, second.bytes.buffer)
})

test('shareLast: two borrowers of the same events cost one encoding', () => {
  const { shared, calls } = counted()
  const events = eventsFrom(0)
  assert.equal(borrow(shared, events), borrow(shared, events))
  assert.equal(calls(), 1)
})

test('shareLast: keeping after a borrow copies the bytes, without another encoding', () => {
  const { shared, calls } = counted()
  const [a, b] = [eventsFrom(0), eventsFrom(7)]
  borrow(shared, a)
  const kept = shared.encode(a)
  assert.equal(calls(), 1)
  assert.equal(shared.encode(a), kept)
  assert.equal(borrow(shared, a), kept)
  borrow(shared, b)
  assert.equal(textOf(kept), textOf(plain.encode(a)))
})

test('shareLast: once one keeps, a borrower gets the kept bytes, and nothing is copied', () => {
  const { shared, calls } = counted()
  shared.encode(eventsFrom(0))
  const events = eventsFrom(7)
  const lent = borrow(shared, events)
  assert.equal(shared.encode(events), lent)
  borrow(shared, eventsFrom(20))
  assert.equal(textOf(lent), textOf(plain.encode(events)))
  assert.equal(calls(), 3)
})

test('shareLast: an encoder without borrowing encodes', () => {
  const shared = shareLast({ encoding: 'json', encode: (events) => plain.encode(events) })
  const events = eventsFrom(0)
  const lent = borrow(shared, events)
  assert.equal(shared.encode(events), lent)
})
