/** Several topics, partitions and brokers of which one fails: the others continue. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Described } from '../../../exporters/contract/described.ts'
import type { Encoded } from '../../../exporters/contract/exporter.ts'
import { describedParts } from '../../support/kafka/events.ts'
import { readTopic } from '../../support/kafka/read-topic.ts'
import { numberOf } from '../../support/kafka/reconcile.ts'
import { DEADLINE_MS, senderOf, withCluster } from '../../support/kafka/rig.ts'
import { FakeBroker } from '../../unit/exporters/sinks/kafka/support/fake-broker.ts'
import { until } from '../../unit/exporters/support/fake-clock.ts'

const NOBODY_KNOWN = {
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  'allow.everyone.if.no.acl.found': 'true',
}

/** Distributes the events over these policies in turn. */
function ofPolicies(parts: readonly Encoded[], policies: readonly string[]): Described[] {
  return parts.map((part) => {
    const abouts = Array.from({ length: part.count }, (_, i) => {
      return { type: 'process_kprobe' as const, policy: policies[i % policies.length] ?? '' }
    })
    const seqs = Float64Array.from(abouts, (_, i) => part.firstSeq + i)
    return { ...part, abouts, seqs, times: new Float64Array(part.count) }
  })
}

/** Probes both topics, as `ktrail check --probe` does. */
async function probes(brokers: readonly string[]): Promise<void> {
  const found = async (topic: string): Promise<string> => {
    const { exporter } = senderOf(brokers, `policy.${topic}`, {})
    const text = await exporter.probe?.(new AbortController().signal).catch(String)
    await exporter.stop()
    return text ?? ''
  }
  assert.equal(await found('a'), `${brokers.join(', ')}: plain; partitions of topic "policy.a": 2`)
  assert.match(await found('b'), /topic "\w+\.b".*TOPIC_AUTHORIZATION_FAILED.*allow this user/)
  assert.match(await found('none'), /topic "\w+\.none".*UNKNOWN_TOPIC_OR_PARTITION.*create it/)
}

test('kafka: a forbidden topic, a hung broker and new partitions leave the rest alone', async (t) => {
  await withCluster(t, { nodes: 1, settings: NOBODY_KNOWN }, async (cluster, jars, topics) => {
    await using hung = await FakeBroker.start()
    hung.deed = () => 'silence'
    await t.test('two topics in one batch, one of them forbidden', async () => {
      for (const name of ['a', 'b']) await topics.create(`policy.${name}`, 2)
      await topics.forbid('policy.b')
      const sender = senderOf(cluster.brokers, 'policy.{policy}', {})
      await sender.start()
      for (const part of ofPolicies(describedParts(0, 100), ['a', 'b'])) await sender.offer(part)
      await until('it holds', () => sender.accounting().state === 'hold', DEADLINE_MS)
      assert.match(sender.accounting().lastError, /topic "\w+\.b".*TOPIC_AUTHORIZATION_FAILED.*allow this user/)
      assert.equal((await readTopic(jars, cluster.brokers, 'policy.a')).length, 50)
      await probes(cluster.brokers)
      await topics.allow('policy.b')
      await sender.reopen()
      await until('all is delivered', () => sender.accounting().heldEvents === 0, DEADLINE_MS)
      await sender.stop(10_000)
      assert.deepEqual([sender.accounting().delivered, sender.imbalance()], [100, 0])
    })

    await t.test('the first broker accepts and never answers; partitions are added', async () => {
      const topic = 'grows'
      await topics.create(topic, 1)
      const sender = senderOf([hung.address, ...cluster.brokers], topic, {
        key: 'exec_id',
        request_timeout: 500,
      })
      await sender.start()
      for (const part of describedParts(0, 200)) await sender.offer(part)
      await until('the first are delivered', () => sender.accounting().delivered === 200, DEADLINE_MS)
      await topics.grow(topic, 3)
      for (const part of describedParts(200, 400)) await sender.offer(part)
      await until('all are delivered', () => sender.accounting().delivered === 400, DEADLINE_MS)
      await sender.stop(10_000)
      const numbers = (await readTopic(jars, cluster.brokers, topic)).map((record) => numberOf(record).seq)
      assert.deepEqual(
        numbers.toSorted((a, b) => a - b),
        [...Array(400).keys()],
      )
    })
  })
})
