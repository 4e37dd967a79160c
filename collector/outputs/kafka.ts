import { packageOf } from '../../config/exporters/npm.ts'
import type { KafkaExporterConfig } from '../../config/schema.ts'
import { createExporter } from '../../exporters/index.ts'
import type { KafkaOptions } from '../../exporters/index.ts'
import type { Output, OutputContext } from './output.ts'

/** Version of the events' JSON, in the header `schema`: to be raised when a consumer could no longer read it. */
const SCHEMA = 1

/** Makes a Kafka exporter. Logs where it writes to, and a password that would travel unprotected. */
export async function kafkaOutput(name: string, config: KafkaExporterConfig, context: OutputContext): Promise<Output> {
  const { compressors, encoders, log } = context
  const warn = (message: string): void => log.warn({ exporter: name }, message)
  const exporter = await createExporter('kafka', kafkaOptions(config, context), { warn, compressors })
  const { brokers, topic, driver, tls, sasl } = config
  if (sasl?.mechanism === 'plain' && tls === undefined) {
    warn('sasl.mechanism plain without tls sends the password readable; add tls, or take scram-sha-512')
  }
  log.info({ exporter: name, brokers, topic, driver }, 'writes to Kafka')
  return { exporter, encoder: encoders.json(), describe: true }
}

/** What the config says, as the exporter wants it. */
export function kafkaOptions(
  config: KafkaExporterConfig,
  { nodeName, epoch, configFile }: Pick<OutputContext, 'nodeName' | 'epoch' | 'configFile'>,
): KafkaOptions {
  const { tls, sasl } = config
  return {
    driver: config.driver,
    brokers: config.brokers,
    clientId: config.client_id,
    topic: config.topic,
    key: config.key,
    format: config.format,
    nodeName,
    clusterName: config.cluster_name,
    epoch,
    schema: SCHEMA,
    compression: config.compression,
    codecPackage: config.codec === undefined ? undefined : packageOf(config.codec),
    configFile,
    acks: config.acks,
    idempotent: config.idempotent,
    requestTimeoutMs: config.request_timeout,
    maxRequestBytes: config.max_request_size,
    tls: tls && {
      caFile: tls.ca_file,
      certFile: tls.cert_file,
      keyFile: tls.key_file,
      serverName: tls.server_name,
      insecure: tls.insecure_skip_verify,
    },
    sasl: sasl && {
      mechanism: sasl.mechanism,
      username: sasl.username,
      password: sasl.password,
      passwordFile: sasl.password_file,
    },
  }
}
