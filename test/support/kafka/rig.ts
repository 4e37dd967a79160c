/** Shared parts of the tests with real brokers. */
import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Numberings } from '../../../exporters/contract/numbering.ts'
import type { KafkaConfig } from '../../../exporters/sinks/kafka/client/connection.ts'
import { KafkaExporter } from '../../../exporters/sinks/kafka/exporter.ts'
import { Sender } from '../../../exporters/sending/sender.ts'
import { KafkaCluster } from './cluster.ts'
import type { ClusterOptions } from './cluster.ts'
import { describedParts, NODE_NAME } from './events.ts'
import { kafkaJars } from './jars.ts'
import { Topics } from './topics.ts'
import { CHAIN, exporterConfig } from '../exporter-config.ts'

export const EPOCH = 'e1'
export const DEADLINE_MS = 120_000

/** The exporter behind the chain that the agent puts before it, with short waits. */
export function senderOf(
  brokers: readonly string[],
  topic: string,
  change: Partial<KafkaConfig>,
  configFile?: string,
): Sender {
  const config = { ...exporterConfig('kafka', { brokers, topic }), ...change }
  const numbering = new Numberings(EPOCH).of('kafka')
  const context = {
    nodeName: NODE_NAME,
    epoch: EPOCH,
    env: {},
    numbering,
    ...(configFile === undefined ? {} : { configFile }),
  }
  const exporter = new KafkaExporter(config, context)
  const retry = { initial: 100, max: 1000 }
  return new Sender('kafka', exporter, { ...CHAIN, retry })
}

/** Offers events as the agent does, a part for each turn of the loop; `between` is called after each, with the next number. */
export async function offer(
  sender: Sender,
  from: number,
  to: number,
  between?: (seq: number) => Promise<void> | undefined,
): Promise<void> {
  for (let seq = from; seq < to; seq += 200) {
    const next = Math.min(to, seq + 200)
    for (const part of describedParts(seq, next)) await sender.offer(part)
    // Else all events would be queued before the first request is sent.
    await nextTurn()
    await between?.(next)
  }
}

/** Runs with brokers of its own; skips with the reason if there can be none. */
export async function withCluster(
  t: TestContext,
  options: ClusterOptions,
  run: (cluster: KafkaCluster, jars: string, topics: Topics) => Promise<void>,
): Promise<void> {
  const jars = await kafkaJars()
  if ('missing' in jars) return t.skip(jars.missing)
  const settings = { 'message.max.bytes': '1048588', ...options.settings }
  await using cluster = await KafkaCluster.start(jars.folder, { ...options, settings })
  await run(cluster, jars.folder, new Topics(cluster.brokers))
}
