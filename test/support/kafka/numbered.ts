/** Records as the agent sends them to a topic, with numbers, and writing them to a real one. */
import { FanOut } from '../../../exporters/fanout.ts'
import { Numberings } from '../../../exporters/contract/numbering.ts'
import type { RunEvent } from '../../../exporters/contract/event.ts'
import { EncoderPool } from '../../../exporters/encoding/pool.ts'
import { Sender } from '../../../exporters/sending/sender.ts'
import { readConnection } from '../../../exporters/sinks/kafka/client/connection.ts'
import { KafkaClient } from '../../../exporters/sinks/kafka/client/client.ts'
import type { KafkaRecord } from '../../../exporters/sinks/kafka/client/record-batch.ts'
import { KafkaExporter } from '../../../exporters/sinks/kafka/exporter.ts'
import { FakeClient } from '../../unit/exporters/sinks/kafka/support/fake-client.ts'
import { CHAIN, exporterConfig } from '../exporter-config.ts'
import { eventOf, NODE_NAME, START_SEC } from './events.ts'

/** One list a partition: a run with `count` events of many keys, from its start to its stop. */
export async function numberedRun(
  run: string,
  previous: string,
  count: number,
  partitions: number,
): Promise<KafkaRecord[][]> {
  const client = new FakeClient({ events: partitions })
  const written: KafkaRecord[][] = Array.from({ length: partitions }, () => [])
  client.plan = ({ partition, records }) => {
    // Copied: the sender frees the bytes of delivered parts.
    for (const { key, value, common, own, timestampMs } of records) {
      const copied = { key: key && Buffer.from(key), value: Buffer.from(value) }
      written[partition]?.push({ ...copied, common, own, timestampMs })
    }
    return undefined
  }
  const numbering = new Numberings(run).of('bus')
  const context = { nodeName: NODE_NAME, epoch: run, env: {}, numbering }
  const config = exporterConfig('kafka', { brokers: ['b:9092'], topic: 'events', key: 'exec_id' })
  const exporter = new KafkaExporter(config, context, { makeClient: () => client })
  const sender = new Sender('bus', exporter, CHAIN)
  const encoder = new EncoderPool(NODE_NAME).json()
  const fanOut = new FanOut([{ encoder, describe: true, numbering, sender }])
  await fanOut.start()
  const mark = (phase: RunEvent['phase'], seq: number): RunEvent => {
    const time = { sec: START_SEC, nsec: 0 }
    return {
      type: 'agent_run',
      seq,
      time,
      phase,
      heartbeatMs: 60_000,
      previous: previous === '' ? {} : { bus: previous },
      filtered: [],
    }
  }
  const events = Array.from({ length: count }, (_, seq) => ({ ...eventOf(seq), seq: seq + 1 }))
  for (const slice of [[mark('start', 0)], events, [mark('stop', count + 1)]]) {
    await fanOut.publish(slice)
    await fanOut.flush(10_000)
  }
  await fanOut.stop(10_000)
  return written
}

/** Writes records to the partitions of a topic. */
export async function writeRecords(
  brokers: readonly string[],
  topic: string,
  partitions: ReadonlyArray<readonly KafkaRecord[]>,
): Promise<void> {
  const connection = await readConnection(exporterConfig('kafka', { brokers, topic }))
  const client = new KafkaClient(connection, { warn: () => undefined, codec: { id: 0, compress: undefined } })
  try {
    for (const [partition, records] of partitions.entries()) {
      // In two batches, because the reader must continue after the first.
      const middle = records.length >>> 1
      for (const part of [records.slice(0, middle), records.slice(middle)]) {
        if (part.length > 0) await client.send(topic, partition, part)
      }
    }
  } finally {
    await client.close()
  }
}
