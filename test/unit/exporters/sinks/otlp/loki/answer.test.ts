/** The Loki of the tests keeps of the records what a real one keeps: its recorded answer has each entry. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeAnswer, recordedAnswer } from '../../../../../support/otlp/loki-answer.ts'

test('loki: the Loki of the tests keeps the stream, the line and the metadata that a real one keeps', () => {
  assert.deepEqual(fakeAnswer(), recordedAnswer())
})

for (const keepsEventName of [false, true]) {
  test(`loki: each entry has its event name once, if Loki ${keepsEventName ? 'keeps' : 'drops'} the field of a record`, () => {
    const kept = fakeAnswer({ keepsEventName })
    for (const { metadata } of kept) assert.match(metadata['event_name'] ?? '', /^ktrail\.\w+$/)
    assert.deepEqual(kept, recordedAnswer())
  })
}

test('loki: a release of Loki has no event name without the attribute', () => {
  const names = (keepsEventName: boolean): Set<string | undefined> =>
    new Set(
      fakeAnswer({ keepsEventName }, { event_name_attribute: false }).map(({ metadata }) => metadata['event_name']),
    )
  assert.deepEqual(names(false), new Set([undefined]))
  assert.ok(!names(true).has(undefined))
})
