/** Format otlp_proto with a real broker and the real collector's Kafka receiver, which must read our records. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createJsonEncoder } from '../../../exporters/encoding/json-line.ts'
import { publish, started } from '../../support/kafka/by-config.ts'
import { eventOf, NODE_NAME } from '../../support/kafka/events.ts'
import { readTopic } from '../../support/kafka/read-topic.ts'
import { DEADLINE_MS, withCluster } from '../../support/kafka/rig.ts'
import { Collector, collectorProgram } from '../../support/otlp/collector.ts'
import { requestFromProtobuf, seqOf } from '../../support/otlp/decode.ts'
import type { LogRecord, LogsRequest } from '../../support/otlp/decode.ts'
import { LONG } from '../../support/long.ts'
import { FakeSink } from '../../support/otlp/server.ts'
import { until } from '../../unit/exporters/support/fake-clock.ts'

const found = await collectorProgram()
const skip = 'missing' in found ? found.missing : false
const program = 'program' in found ? found.program : ''

const EVENTS = LONG ? 6000 : 2000
const json = createJsonEncoder({ nodeName: NODE_NAME })
const all = Array.from({ length: EVENTS }, (_, seq) => seq)

const attribute = (list: LogRecord['attributes'], name: string): string | undefined => {
  const value = list.find(({ key }) => key === name)?.value
  return value !== undefined && 'stringValue' in value ? String(value.stringValue) : undefined
}

/** Checks that every event arrives once, with its JSON as body, under the configured resource. */
function check(requests: readonly LogsRequest[]): void {
  const records = requests.flatMap((request) => request.records)
  assert.deepEqual(
    records.map(seqOf).toSorted((a, b) => a - b),
    all,
  )
  for (const record of records) {
    const line = Buffer.from(json.encode([eventOf(seqOf(record))]).bytes)
    assert.deepEqual(record.body, { stringValue: line.toString().trimEnd() })
  }
  for (const { resource } of requests) {
    assert.equal(attribute(resource, 'service.name'), 'audit')
    assert.equal(attribute(resource, 'service.instance.id'), NODE_NAME)
    assert.equal(attribute(resource, 'k8s.cluster.name'), 'prod')
    assert.equal(attribute(resource, 'team'), 'sec')
  }
}

test(
  `kafka otlp_proto: the collector's Kafka receiver reads every event, in order of each key`,
  { skip },
  async (t) => {
    await withCluster(t, { nodes: 1 }, async (cluster, jars, topics) => {
      await topics.create('otlp_logs', 3)
      const otlp = 'otlp: { service_name: audit, resource_attributes: { team: sec } }, cluster_name: prod'
      const keys = `topic: otlp_logs, format: otlp_proto, key: policy, ${otlp}`
      const fanOut = await started(`brokers: ["${cluster.brokers[0]}"], ${keys}`, 'e1')
      await publish(fanOut, 0, EVENTS)
      await fanOut.stop(DEADLINE_MS)
      const [sender] = fanOut.senders
      assert.deepEqual([sender?.accounting().delivered, sender?.imbalance()], [EVENTS, 0])

      const stored = await readTopic(jars, cluster.brokers, 'otlp_logs')
      assert.ok(stored.length < EVENTS / 20, `${stored.length} records for ${EVENTS} events`)
      const last = new Map<string, number>()
      for (const { key, headers, bytes } of stored) {
        const { records } = requestFromProtobuf(bytes)
        const seqs = records.map(seqOf)
        const policy = records.map(({ attributes }) => attribute(attributes, 'security_rule.name') ?? NODE_NAME)
        assert.deepEqual(headers, {
          'content-type': 'application/x-protobuf',
          node: NODE_NAME,
          schema: '1',
          seq: `e1-${seqs[0]}`,
          events: String(seqs.length),
        })
        assert.deepEqual([...new Set(policy)], [key])
        assert.deepEqual(
          [last.get(key) ?? -1, ...seqs].toSorted((a, b) => a - b),
          [last.get(key) ?? -1, ...seqs],
        )
        last.set(key, seqs.at(-1) ?? -1)
      }
      assert.deepEqual([...last.keys()].toSorted(), [NODE_NAME, 'policy-0', 'policy-1', 'policy-2'])
      check(stored.map(({ bytes }) => requestFromProtobuf(bytes)))

      await using stack = new AsyncDisposableStack()
      const sink = stack.use(await FakeSink.start())
      stack.use(await Collector.start(program, sink.url, { brokers: cluster.brokers, topic: 'otlp_logs' }))
      const arrived = (): number => sink.requests.reduce((sum, request) => sum + request.logs().records.length, 0)
      await until('the collector has read the topic', () => arrived() >= EVENTS, DEADLINE_MS)
      check(sink.requests.map((request) => request.logs()))
    })
  },
)
