/** The door to a Kafka client library: one topic-partition a call, partition chosen by us, errors as KafkaFault. */
import type { Compressors } from '../../../runtime/compression.ts'
import { faultOfCode, KafkaFault, missingTopic, UNKNOWN_TOPIC } from '../faults.ts'
import type { Compress } from './codecs.ts'
import type { KafkaConfig, KafkaConnection } from '../connection.ts'

export interface KafkaRecord {
  readonly key: Buffer | null
  /** A view of shared bytes: not to be written into, to be read only until send settles. */
  readonly value: Buffer
  /** Headers that many records share, as one object: drivers may encode it once. */
  readonly common: Readonly<Record<string, string>>
  /** Headers of this record. */
  readonly own: Readonly<Record<string, string>>
  /** Milliseconds since 1970, whole. */
  readonly timestampMs: number
}

/** The number of partitions by topic, or what is wrong with it; one for each that was asked for. */
export type Partitions = ReadonlyMap<string, number | KafkaFault>

/** Every method rejects with KafkaFault and nothing else. */
export interface KafkaDriver {
  /**
   * Asks the brokers how many partitions each topic has, in one request for all. What is wrong with a topic stands in its
   * place: UNKNOWN_TOPIC_OR_PARTITION is of the kind `config` only here, for a leader that moved may say it too.
   */
  partitions(topics: readonly string[]): Promise<Partitions>
  /**
   * Writes the records as one batch into one partition; settles when the brokers have acknowledged all of them.
   * The caller has at most one call in flight a partition. Connects when needed.
   */
  send(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<void>
  /**
   * Drops connections and the producer's identity; what is in flight fails soon. The next call connects anew, with the
   * certificates and passwords of `connection` when it is given.
   */
  reset(connection?: KafkaConnection): Promise<void>
  /** As reset, for good. A second call does nothing. */
  close(): Promise<void>
}

export interface DriverDeps {
  /** Takes what the library wants people to know. */
  readonly warn: (message: string) => void
  /** Those of Node when absent. */
  readonly compressors?: Compressors | undefined
  /** For a compression that is not built in. */
  readonly codec?: Compress | undefined
}

export type MakeDriver = (connection: KafkaConnection, deps: DriverDeps) => KafkaDriver

/** Waits before asking again who leads a partition that has moved: elections take a few 100 ms. */
export const MOVED_MS: readonly number[] = [100, 200, 400, 800]

/** What an answer about topics says of one: its error's number, 0 for none, and its partitions. */
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

/** Loads a driver; the libraries are read only when one is wanted. */
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
