/** What a Kafka exporter is made from. */
import type { ResourceOptions } from '../../encoding/otlp/envelope.ts'

export type DriverName = 'kafkajs' | 'platformatic'
export type KeyChoice = 'node_name' | 'exec_id' | 'policy' | 'none'
export type CompressionName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

interface TlsChecks {
  /** Name to check in the certificate, when it is not the broker's. */
  readonly serverName?: string | undefined
  /** Accepts any certificate. */
  readonly insecure?: boolean
}

export interface KafkaTls extends TlsChecks {
  /** PEM. The system's authorities when left out. */
  readonly ca?: string | undefined
  /** PEM, both for mTLS. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** As KafkaTls, by paths of PEM files. */
export interface KafkaTlsFiles extends TlsChecks {
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
}

interface Login {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
}

export interface KafkaSasl extends Login {
  readonly password: string
}

/** One of both. */
export interface KafkaSaslSource extends Login {
  readonly password?: string | undefined
  readonly passwordFile?: string | undefined
}

/** What a driver needs of it: the way to the brokers and how records are written. */
export interface KafkaConnection {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly compression: CompressionName
  readonly acks: 'all' | 'leader'
  /** No duplicates from retries inside one send; needs acks `all`. */
  readonly idempotent: boolean
  /** For one request; the broker gets the same. */
  readonly requestTimeoutMs: number
  readonly tls?: KafkaTls | undefined
  readonly sasl?: KafkaSasl | undefined
}

export interface KafkaOptions extends Omit<KafkaConnection, 'tls' | 'sasl'> {
  readonly tls?: KafkaTlsFiles | undefined
  readonly sasl?: KafkaSaslSource | undefined
  readonly driver: DriverName
  /** Package that compresses, for snappy and lz4; looked for from `configFile` first. */
  readonly codecPackage?: string | undefined
  readonly configFile?: string | undefined
  /** A topic, or a template with `{event_type}` and `{policy}`. */
  readonly topic: string
  readonly key: KeyChoice
  /**
   * `json`: one event a record. `cloudevents` adds the headers of the binary mode; the value is the same. `otlp_proto`: the events of a
   * request and key as one record, an ExportLogsServiceRequest; not with key `exec_id`.
   */
  readonly format: 'json' | 'cloudevents' | 'otlp_proto'
  readonly nodeName: string
  /** Of `ce_source`, `//cluster/node`; '' when unknown. */
  readonly clusterName: string
  /** Names this run of the agent; a sequence is gap-free within it. */
  readonly epoch: string
  /** Of `otlp_proto`. Default: service `ktrail` and the node. */
  readonly resource?: ResourceOptions | undefined
  /** Version of the event's shape. */
  readonly schema: number
  /** Uncompressed size of one record batch. */
  readonly maxRequestBytes: number
}

/** Values where the user gives none. Source of the size: the broker takes 1,048,588 bytes a batch (export.md §5.3). */
export const DEFAULT_KAFKA_OPTIONS: Omit<KafkaOptions, 'brokers' | 'topic' | 'nodeName' | 'epoch'> = {
  driver: 'kafkajs',
  clientId: 'ktrail',
  compression: 'zstd',
  acks: 'all',
  idempotent: false,
  requestTimeoutMs: 30_000,
  key: 'node_name',
  format: 'json',
  clusterName: '',
  schema: 1,
  maxRequestBytes: 900 << 10,
}
