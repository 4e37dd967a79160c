/** The door to a Kafka client library: one topic-partition a call, partition chosen by us, errors as KafkaFault. */
import type { Compressors } from '../../compression.ts'
import type { DriverName, KafkaConnection } from '../options.ts'

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

/** Every method rejects with KafkaFault and nothing else. */
export interface KafkaDriver {
  /** Asks the brokers how many partitions a topic has; fault UNKNOWN_TOPIC_OR_PARTITION when there is none. */
  partitions(topic: string): Promise<number>
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
}

export type MakeDriver = (connection: KafkaConnection, deps: DriverDeps) => KafkaDriver

/** Waits before asking again who leads a partition that has moved: elections take a few 100 ms. */
export const MOVED_MS: readonly number[] = [100, 200, 400, 800]

/** Loads a driver; the libraries are read only when one is wanted. */
export async function loadDriver(name: DriverName): Promise<MakeDriver> {
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
