import type { Numbering } from '../../../../../../exporters/contract/numbering.ts'
import { KafkaExporter } from '../../../../../../exporters/sinks/kafka/exporter.ts'
import type { KafkaDeps } from '../../../../../../exporters/sinks/kafka/exporter.ts'
import type { KafkaConfig } from '../../../../../../exporters/sinks/kafka/client/connection.ts'
import { exporterConfig } from '../../../../../support/exporter-config.ts'

/** Config of topic `events`. */
export function kafkaConfig(change: Partial<KafkaConfig> = {}): KafkaConfig {
  const { format = 'json' } = change
  return { ...exporterConfig('kafka', { brokers: ['b:9092'], topic: 'events', format }), ...change }
}

/** Exporter on node `n` of host `h1`, in epoch `e1`. */
export function kafkaExporter(change: Partial<KafkaConfig>, deps: KafkaDeps, numbering?: Numbering): KafkaExporter {
  return new KafkaExporter(kafkaConfig(change), { nodeName: 'n', hostId: 'h1', epoch: 'e1', env: {}, numbering }, deps)
}
