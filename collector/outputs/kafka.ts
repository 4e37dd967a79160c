import { packageOf } from '../../config/agent/exporters/npm.ts'
import { recordsInKafka } from '../../config/agent/effective.ts'
import type { KafkaExporterConfig } from '../../config/agent/schema.ts'
import { createExporter, resolveOtlpResource } from '../../exporters/index.ts'
import type { Encoder, KafkaOptions, ResolvedResource } from '../../exporters/index.ts'
import { recordsOf, resourceOf } from './otlp-records.ts'
import type { Output, OutputContext } from './output.ts'

/** Version of the events' JSON, in the header `schema`: to be raised when a consumer could no longer read it. */
const SCHEMA = 1

/** Makes a Kafka exporter. Logs where it writes to, and a password that would travel unprotected. */
export async function kafkaOutput(name: string, config: KafkaExporterConfig, context: OutputContext): Promise<Output> {
  const { compressors, env, log } = context
  const warn = (message: string): void => log.warn({ exporter: name }, message)
  const resource = kafkaResourceOf(config, env)
  for (const warning of resource?.warnings ?? []) warn(warning)
  const options = {
    ...kafkaOptions(config, context),
    resource: resource && resourceOf(resource, config.cluster_name, context),
  }
  const exporter = await createExporter('kafka', options, { warn, compressors })
  const { brokers, topic, driver, tls, sasl } = config
  if (sasl?.mechanism === 'plain' && tls === undefined) {
    warn('sasl.mechanism plain without tls sends the password readable; add tls, or take scram-sha-512')
  }
  log.info({ exporter: name, brokers, topic, driver }, 'writes to Kafka')
  return { exporter, encoder: await encoderOf(config, context), describe: true }
}

/** Who the OTLP records are of, by the config and the OTEL_* variables; undefined where none are made. */
export function kafkaResourceOf(config: KafkaExporterConfig, env: OutputContext['env']): ResolvedResource | undefined {
  const records = recordsInKafka(config)
  if (records === undefined) return undefined
  const { service_name: serviceName, resource_attributes: resourceAttributes } = records
  return resolveOtlpResource({ serviceName, resourceAttributes }, env)
}

async function encoderOf(config: KafkaExporterConfig, { encoders, epoch }: OutputContext): Promise<Encoder> {
  const records = recordsInKafka(config)
  if (records === undefined) return encoders.json()
  return encoders.otlp({ ...recordsOf(records, epoch), protocol: 'protobuf', sdk: false })
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
