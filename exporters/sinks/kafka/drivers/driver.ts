/** Interface to a Kafka client library: one topic and partition per call, errors as KafkaFault. */
import type { Compressors } from '../../../runtime/compression.ts'
import { faultOfCode, KafkaFault, missingTopic, UNKNOWN_TOPIC } from '../faults.ts'
import type { Compress } from './codecs.ts'
import type { KafkaConfig, KafkaConnection } from '../connection.ts'

export interface KafkaRecord {
  readonly key: Buffer | null
  /** A view of shared bytes: read-only, valid until send settles. */
  readonly value: Buffer
  /** One object shared by many records: drivers may encode it once. */
  readonly common: Readonly<Record<string, string>>
  /** Headers of this record. */
  readonly own: Readonly<Record<string, string>>
  /** Milliseconds since 1970, whole. */
  readonly timestampMs: number
}

/** The number of partitions, or the fault, of each requested topic. */
export type Partitions = ReadonlyMap<string, number | KafkaFault>

/** All methods only reject with KafkaFault. */
export interface KafkaDriver {
  /**
   * Requests the number of partitions of all topics at once, with a fault per topic. Only here UNKNOWN_TOPIC_OR_PARTITION is of
   * kind `config`; elsewhere it may mean that the leader moved.
   */
  partitions(topics: readonly string[]): Promise<Partitions>
  /**
   * Writes the records as one batch to a partition; resolves when the brokers have acknowledged all. At most one call per
   * partition at a time. Connects if needed.
   */
  send(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<void>
  /**
   * Drops connections and the producer's identity; running calls fail soon. The next call reconnects, with the credentials of
   * `connection` if given.
   */
  reset(connection?: KafkaConnection): Promise<void>
  /** Like reset, permanently. A second call does nothing. */
  close(): Promise<void>
}

export interface DriverDeps {
  /** Receives the library's warnings. */
  readonly warn: (message: string) => void
  /** Default: Node's. */
  readonly compressors?: Compressors | undefined
  /** For a compression that is not built in. */
  readonly codec?: Compress | undefined
}

export type MakeDriver = (connection: KafkaConnection, deps: DriverDeps) => KafkaDriver

/** Waits before asking again for the leader of a moved partition: elections take a few 100 ms. */
export const MOVED_MS: readonly number[] = [100, 200, 400, 800]

/** A topic in a metadata response: its error code, 0 for none, and its partitions. */
export function partitionsOf(
  topic: string,
  brokers: readonly string[],
  code: number,
  count: number,
): number | KafkaFault {
  const what = `ask ${brokers.join(', ')} for topic "${topic}"`
  const fault = faultOfCode(code, what)
  if (fault === undefined && count > 0) return count
  return fault === undefined || fault.code === UNKNOWN_TOPIC ? missingTopic(what) : fault
}

/** Loads a driver and its library on demand. */
export async function loadDriver(name: KafkaConfig['driver']): Promise<MakeDriver> {
  switch (name) {
    case 'kafkajs': {
      const { KafkajsDriver } = await import('./kafkajs-driver.ts')
      return (connection, deps) => new KafkajsDriver(connection, deps)
    }
    case 'platformatic': {
      const { PlatformaticDriver } = await import('./platformatic-driver.ts')
      return (connection, deps) => new PlatformaticDriver(connection, deps)
    }
  }
}
