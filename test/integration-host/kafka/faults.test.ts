/** The Kafka exporter while brokers are killed and leaders move. `ktrail audit` agrees with the content of the topic. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { readTopic } from '../../support/kafka/read-topic.ts'
import { reconcile } from '../../support/kafka/reconcile.ts'
import { DEADLINE_MS, EPOCH, offer, senderOf, withCluster } from '../../support/kafka/rig.ts'
import { SKIP_LONG } from '../../support/long.ts'
import { sumOf } from '../../support/otlp/audited.ts'
import { typed } from '../../unit/collector/cli/support/terminal.ts'
import { until } from '../../unit/exporters/support/fake-clock.ts'

const LOAD_EVENTS = 30_000
const MOST_EVENTS = 200_000

test(
  'kafka: a broker killed and restarted under load loses nothing; duplicates are counted',
  { skip: SKIP_LONG },
  async (t) => {
    await withCluster(t, { nodes: 1 }, async (cluster, jars, topics) => {
      for (const idempotent of [false, true]) {
        await t.test(idempotent ? 'idempotent' : 'not idempotent', async () => {
          const topic = `kill-${idempotent}`
          await topics.create(topic, 3)
          const sender = senderOf(cluster.brokers, topic, { idempotent, key: 'exec_id' })
          await sender.start()
          let outage: Promise<void> | undefined
          await offer(sender, 0, LOAD_EVENTS, async (seq) => {
            if (seq !== LOAD_EVENTS / 3) return
            await until('some are delivered', () => sender.accounting().delivered > 0, DEADLINE_MS)
            outage = cluster.kill(1).then(() => cluster.restart(1))
          })
          await outage
          await until('all is delivered', () => sender.accounting().heldEvents === 0, DEADLINE_MS)
          await sender.stop(10_000)
          const { delivered, retries } = sender.accounting()
          assert.deepEqual([delivered, sender.imbalance()], [LOAD_EVENTS, 0])
          assert.ok(retries > 0, 'nothing was retried: the broker did not end under load')
          const records = await readTopic(jars, cluster.brokers, topic)
          const duplicates = reconcile(records, { [EPOCH]: LOAD_EVENTS })
          await auditAgrees(cluster.brokers, topic, { records: LOAD_EVENTS, duplicates })
          const possible = sender.stats().duplicatesPossible
          t.diagnostic(`${topic}: ${retries} retries, ${duplicates} duplicates of ${possible} possible`)
          // One request of each partition may have been written without an answer.
          assert.ok(duplicates <= possible, `${duplicates} duplicates, at most ${possible} expected`)
        })
      }
    })
  },
)

test('kafka: leaders that move between three brokers under load lose nothing', { skip: SKIP_LONG }, async (t) => {
  await withCluster(t, { nodes: 3 }, async (cluster, jars, topics) => {
    const topic = 'move'
    await topics.create(topic, 6, { replicas: 3, minInSync: 2 })
    const sender = senderOf(cluster.brokers, topic, { key: 'exec_id' })
    await sender.start()
    // Each broker ends and restarts once, two of them with a controlled shutdown that moves their leaders.
    const moves = { done: false }
    const moving = (async () => {
      for (const [id, signal] of [
        [1, 'SIGTERM'],
        [2, 'SIGKILL'],
        [3, 'SIGTERM'],
      ] as const) {
        await cluster.kill(id, signal)
        await cluster.restart(id)
      }
    })().finally(() => (moves.done = true))
    let seq = 0
    while (!moves.done && seq < MOST_EVENTS) {
      await offer(sender, seq, seq + 400)
      seq += 400
      // About 2,000 events a second.
      await pause(200)
    }
    await moving
    await until('all is delivered', () => sender.accounting().heldEvents === 0, DEADLINE_MS)
    await sender.stop(10_000)
    assert.deepEqual([sender.accounting().delivered, sender.imbalance()], [seq, 0])
    const duplicates = reconcile(await readTopic(jars, cluster.brokers, topic), { [EPOCH]: seq })
    await auditAgrees(cluster.brokers, topic, { records: seq, duplicates })
    t.diagnostic(`${topic}: ${seq} events, ${sender.accounting().retries} retries, ${duplicates} duplicates`)
  })
})

async function auditAgrees(
  brokers: readonly string[],
  topic: string,
  { records, duplicates }: { readonly records: number; readonly duplicates: number },
): Promise<void> {
  const { stdout } = await typed(['audit', `kafka://${brokers.join(',')}/${topic}`, '-o', 'json'])
  const { untold, twice, ...found } = sumOf(JSON.parse(stdout).streams)
  assert.deepEqual([found.records, untold, twice], [records, [], duplicates])
}
