import type { MakeExporter } from '../context.ts'
import type { KafkaConfig } from './client/connection.ts'
import type { Encoder } from '../../contract/exporter.ts'
import { KafkaExporter } from './exporter.ts'

/** Logs the brokers and topic, and warns about a password sent without TLS. */
export const make: MakeExporter<KafkaConfig> = async (config, context) => {
  const { compressors, encoders, epoch, log, name, numbering, warn } = context
  const exporter = new KafkaExporter(config, context, { warn, compressors })
  const { brokers, topic, tls, sasl, otlp, envelope, format } = config
  if (sasl?.mechanism === 'plain' && tls === undefined) {
    warn('sasl.mechanism plain without tls sends the password unencrypted; add tls, or use scram-sha-512')
  }
  log.info({ exporter: name, brokers, topic }, 'writes to Kafka')
  const lines = (): Encoder => encoders.linesFor({ numbering, envelope, extended: format === 'extended' })
  const encoder =
    otlp === undefined ? lines() : await encoders.otlp({ ...otlp, epoch, protocol: 'protobuf', sdk: false, numbering })
  return { exporter, encoder, describe: true, numbered: true }
}
