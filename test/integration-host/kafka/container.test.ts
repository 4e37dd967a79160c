/**
 * From the YAML of a config to Apache Kafka in a container, while the broker freezes and is killed. Kafka's
 * own console consumer reads back. Only with KTRAIL_LONG=1: the other tests here run the brokers as processes.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { findEngine } from '../../support/containers/engine.ts'
import { kafkaImage, startKafka } from '../../support/containers/kafka.ts'
import { EPOCH, Pipeline } from '../../support/containers/pipeline.ts'
import { eventOf } from '../../support/kafka/events.ts'
import { kafkaJars } from '../../support/kafka/jars.ts'
import { SKIP_LONG } from '../../support/long.ts'
import { readTopic } from '../../support/kafka/read-topic.ts'
import { reconcile } from '../../support/kafka/reconcile.ts'
import { Topics } from '../../support/kafka/topics.ts'

const EVENTS = 5000

// The image is always needed, because its consumer reads the topic back.
const jars = SKIP_LONG === false ? await kafkaJars() : { missing: SKIP_LONG }
const found = 'missing' in jars ? jars : await findEngine()
after(async () => {
  if ('engine' in found) await found.engine[Symbol.asyncDispose]()
})

test(`kafka container: paused once, killed once, ${EVENTS} of ${EVENTS} arrive`, async (t) => {
  if ('missing' in jars) return t.skip(jars.missing)
  if ('missing' in found) return t.skip(found.missing)
  const { engine } = found
  const chosen = await kafkaImage(engine, jars.folder)
  if ('missing' in chosen) return t.skip(chosen.missing)
  await using kafka = await startKafka(engine, chosen.image)
  const topics = new Topics([kafka.address])
  await topics.create('events', 3)
  const exporter = `
  bus: { type: kafka, brokers: ["${kafka.address}"], topic: events, key: exec_id,
    queue: { when_full: block }, request_timeout: 2s, timeout: 10s, retry: { initial: 100ms, max: 1s } }`
  await using pipeline = await Pipeline.start(`exporters:${exporter}\n`, eventOf)

  await pipeline.publish(0, 1000)
  await pipeline.delivered(1000)
  await kafka.pause()
  await pipeline.publish(1000, 2000)
  await pipeline.noticed()
  await kafka.resume()
  await pipeline.delivered(2000)
  await pipeline.publish(2000, 3000)
  await kafka.kill()
  await pipeline.publish(3000, EVENTS)
  await pipeline.noticed()
  await kafka.restart()
  await pipeline.delivered(EVENTS)
  await pipeline.stop(EVENTS)

  const again = reconcile(await readTopic(jars.folder, [kafka.address], 'events'), { [EPOCH]: EVENTS })
  const possible = pipeline.senders[0]?.stats().duplicatesPossible ?? 0
  const counts = `${EVENTS} of ${EVENTS} arrived, ${again} again of ${possible} foreseen`
  t.diagnostic(`${chosen.image}: ${counts}`)
  assert.ok(again <= possible, counts)
})
