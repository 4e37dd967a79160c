/** A broker of Apache Kafka in KRaft mode, one node in a container. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { KAFKA_VERSION } from '../kafka/jars.ts'
import type { Engine } from './engine.ts'
import { imageOf } from './images.ts'
import type { Image, Recipe } from './images.ts'
import { lastLineOf } from './engines.ts'
import { insideAddress, Launched } from './launched.ts'
import { freePorts } from './ports.ts'

const at = (name: string): string => path.join(import.meta.dirname, name)

/** The official image, or one of the jars and this Debian's Java. */
export function kafkaImage(engine: Engine, jars: string): Promise<Image> {
  const recipe: Recipe = {
    name: 'ktrail-test/kafka',
    entrypoint: ['/kafka-entry.sh'],
    inputs: [KAFKA_VERSION, process.arch, readFileSync(at('kafka-root.sh')), readFileSync(at('kafka-entry.sh'))],
    fill: async (folder) => {
      await promisify(execFile)(at('kafka-root.sh'), [jars, folder], { timeout: 600_000 }).catch((error: unknown) => {
        throw new Error(lastLineOf(error))
      })
    },
  }
  return imageOf(engine, `apache/kafka:${KAFKA_VERSION}`, recipe)
}

/** Settles when it accepts connections. */
export async function startKafka(engine: Engine, image: string): Promise<Launched> {
  const [port = 0, controller = 0] = await freePorts(2)
  const environment = {
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_CONTROLLER_QUORUM_VOTERS: `1@127.0.0.1:${controller}`,
    KAFKA_LISTENERS: `PLAINTEXT://${insideAddress(engine)}:${port},CONTROLLER://127.0.0.1:${controller}`,
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://${engine.host}:${port}`,
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_LOG_DIRS: '/tmp/kafka-data',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    // Retention is by the timestamps of records, and those of tests are old.
    KAFKA_LOG_RETENTION_MS: '-1',
    KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: '1',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    KAFKA_HEAP_OPTS: '-Xmx512m -XX:TieredStopAtLevel=1',
  }
  return Launched.start(engine, { image, port, environment, ready: /Kafka Server started/ })
}
