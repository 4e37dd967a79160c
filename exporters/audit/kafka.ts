/**
 * Records of Kafka topics, from the oldest to the present newest, without a consumer group: `kafka://BROKER[,BROKER]/TOPIC[,TOPIC]`. Keys of the
 * exporter's config may follow: `?tls.ca_file=/ca.pem&sasl.mechanism=plain&sasl.username=u&sasl.password_file=/p`.
 */
import { setFlagsFromString } from 'node:v8'
import { fetchV12, listOffsetsV6 } from '@platformatic/kafka'
import { effectiveExporter } from '../../config/agent/effective.ts'
import { kafka } from '../../config/agent/exporters/kafka.ts'
import { ExportError } from '../contract/errors.ts'
import { readConnection } from '../sinks/kafka/client/connection.ts'
import type { KafkaConfig } from '../sinks/kafka/client/connection.ts'
import { faultOf, faultOfCode } from '../sinks/kafka/client/faults.ts'
import type { NumberedRecord } from './audit.ts'
import { numbersOf } from './envelope.ts'
import { Cluster } from './kafka-cluster.ts'
import { readOtlp } from './otlp.ts'
import type { Source, SourceOptions } from './source.ts'

const WAIT_MS = 1000
/** Compressed; a batch that is larger comes alone, up to MAX_ANSWER_BYTES. The library keeps all records of an answer, and ten objects of each. */
const FETCH_BYTES = 32 << 10
/** Else V8 lets such garbage grow to several times the memory in use before it collects. */
const COLLECT = '--heap-growing-percent=20'
const EARLIEST = -2n
const LATEST = -1n
const COMMITTED = 1
/** A new leader, or a broker that comes back, takes seconds. */
const MOST_FAILURES = 5
/** Bit of a batch with markers of transactions instead of records. */
const CONTROL = 0x20

type FetchedBatch = NonNullable<
  Awaited<ReturnType<typeof fetchV12.api.async>>['responses'][number]['partitions'][number]['records']
>[number]

/** Throws ExportError UNUSABLE for a wrong address, IO for a topic that cannot be read. */
export async function kafkaSource(address: string, options: SourceOptions): Promise<Source> {
  const { brokers, topics, keys } = parse(address)
  const { env, signal } = options
  return async function* records() {
    setFlagsFromString(COLLECT)
    for (const topic of topics) {
      const connection = await readConnection(configOf(address, { ...keys, brokers, topic }, env))
      const cluster = new Cluster(topic, connection)
      const what = `read topic "${topic}" of ${brokers.join(', ')}`
      const stop = (): void => void cluster.close()
      signal.addEventListener('abort', stop, { once: true })
      try {
        const found = await cluster.topic()
        const fault = faultOfCode(found?.errorCode ?? 3, what)
        if (fault !== undefined) throw fault
        for (const { partitionIndex } of found?.partitions ?? []) {
          yield* partitionRecords(cluster, topic, partitionIndex, options)
        }
      } catch (error) {
        throw new ExportError('IO', faultOf(error, what).message, error)
      } finally {
        signal.removeEventListener('abort', stop)
        await cluster.close()
      }
    }
  }
}

async function* partitionRecords(
  cluster: Cluster,
  topic: string,
  partition: number,
  { sinceMs, signal, heard }: SourceOptions,
): AsyncGenerator<NumberedRecord | 'unreadable' | undefined> {
  const place = `${topic}/${partition}`
  const end = await offsetAt(cluster, topic, partition, LATEST)
  const since = sinceMs === undefined ? EARLIEST : BigInt(Math.floor(sinceMs))
  let next = await offsetAt(cluster, topic, partition, since)
  heard()
  // No record is as new as that.
  if (next < 0n) return
  for (let failures = 0; next < end;) {
    let batches: readonly FetchedBatch[]
    try {
      batches = await fetch(cluster, topic, partition, next)
      failures = 0
    } catch (error) {
      if (++failures === MOST_FAILURES || signal.aborted) throw error
      cluster.forget()
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
      continue
    }
    for (const batch of batches) {
      const last = batch.firstOffset + BigInt(batch.lastOffsetDelta)
      if ((batch.attributes & CONTROL) === 0) {
        for (const record of batch.records) {
          const offset = batch.firstOffset + BigInt(record.offsetDelta)
          if (offset < next || offset >= end) continue
          const timeMs = Number(batch.firstTimestamp + record.timestampDelta)
          yield* read(record, place, timeMs)
        }
      }
      if (last < next) continue
      next = last + 1n
      heard()
    }
  }
}

function* read(
  { headers, value }: FetchedBatch['records'][number],
  place: string,
  timeMs: number,
): Generator<NumberedRecord | 'unreadable' | undefined> {
  const texts = new Map(headers.map(([name, text]) => [name?.toString() ?? '', text?.toString() ?? '']))
  if (texts.get('content-type') === 'application/x-protobuf') yield* readOtlp(value ?? Buffer.alloc(0), place)
  else {
    const node = texts.get('node') ?? ''
    yield numbersOf((name) => texts.get(name.replace('.', '_')), { place, node, timeMs })
  }
}

async function fetch(
  cluster: Cluster,
  topic: string,
  partition: number,
  offset: bigint,
): Promise<readonly FetchedBatch[]> {
  const connection = await cluster.leader(partition)
  const wanted = { partition, currentLeaderEpoch: -1, fetchOffset: offset, lastFetchedEpoch: -1 }
  // In this version of the request the library's topicId is the name.
  const topics = [{ topicId: topic, partitions: [{ ...wanted, partitionMaxBytes: FETCH_BYTES }] }]
  const answer = await fetchV12.api.async(connection, WAIT_MS, 1, FETCH_BYTES, COMMITTED, 0, -1, topics, [], '')
  return answer.responses[0]?.partitions[0]?.records ?? []
}

async function offsetAt(cluster: Cluster, topic: string, partition: number, timestamp: bigint): Promise<bigint> {
  const connection = await cluster.leader(partition)
  const partitions = [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }]
  const answer = await listOffsetsV6.api.async(connection, -1, COMMITTED, [{ name: topic, partitions }])
  return answer.topics[0]?.partitions[0]?.offset ?? -1n
}

function parse(address: string): { brokers: string[]; topics: string[]; keys: object } {
  const [, brokers, topics, query] = /^kafka:\/\/([^/?]+)\/([^/?]+)(?:\?(.*))?$/.exec(address) ?? []
  if (brokers === undefined || topics === undefined) {
    throw new ExportError(
      'UNUSABLE',
      `expected an address such as kafka://kafka-1:9092/ktrail.events, got "${address}"`,
    )
  }
  const keys: Record<string, unknown> = {}
  for (const [path, value] of new URLSearchParams(query)) {
    const [key = '', inner] = path.split('.')
    if (inner === undefined) keys[key] = value
    else keys[key] = { ...Object(keys[key]), [inner]: value }
  }
  return { brokers: brokers.split(','), topics: topics.split(',').map(decodeURIComponent), keys }
}

function configOf(address: string, keys: object, env: SourceOptions['env']): KafkaConfig {
  const parsed = kafka.safeParse({ type: 'kafka', ...keys })
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    // Without the query, which may have a password.
    const shown = address.replace(/\?.*$/, '')
    throw new ExportError('UNUSABLE', `${shown}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}`)
  }
  const { config } = effectiveExporter(parsed.data, env)
  if (config.type !== 'kafka') throw new ExportError('UNUSABLE', `expected type kafka, got ${config.type}`)
  return config
}
