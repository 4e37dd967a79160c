import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTopic, topicsOfTypes } from '../../../../../exporters/sinks/kafka/topic.ts'

const GOOD = [
  ['ktrail.events', 'p', 'ktrail.events'],
  ['events.{event_type}', 'p', 'events.process_exec'],
  ['{policy}', 'file-monitoring', 'file-monitoring'],
  ['{policy}-{event_type}', '', 'none-process_exec'],
  ['k.{policy}', 'a/b c:ü', 'k.a_b_c__'],
  ['{policy}', 'x'.repeat(249), 'x'.repeat(249)],
  ['{policy}', 'x'.repeat(300), `${'x'.repeat(240)}-0d4e2ca9`],
  ['{policy}', `${'x'.repeat(299)}y`, `${'x'.repeat(240)}-d71979b4`],
] as const
for (const [template, policy, want] of GOOD) {
  test(`kafka topic: ${template} with policy "${policy.slice(0, 20)}" is ${want.slice(0, 30)}`, () => {
    assert.equal(parseTopic(template)({ type: 'process_exec', policy }), want)
  })
}

test('kafka topic: {namespace} is that of the pod, none outside of pods', () => {
  const topicOf = parseTopic('a.{namespace}.{policy}')
  const about = { type: 'process_exec', policy: 'p' } as const
  assert.deepEqual(
    [topicOf(about, 'shop'), topicOf(about), topicOf(about, 'shop')],
    ['a.shop.p', 'a.none.p', 'a.shop.p'],
  )
  assert.deepEqual(topicsOfTypes('a.{namespace}'), [])
})
