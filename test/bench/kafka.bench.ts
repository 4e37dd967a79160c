/**
 * What does a Kafka event cost the sending process, by driver and codec, with acks all, beside plain kafkajs in the
 * same run? Real broker (Apache Kafka by jar) on the same machine; batches of 800 events, keyed by node.
 * The plain side gets its messages as objects that are ready, so that only kafkajs itself counts against it.
 */
import kafkajs from 'kafkajs'
import type { Message } from 'kafkajs'
import { guardKafkajs } from '../../exporters/kafka/kafkajs-guard.ts'
import { KafkaExporter } from '../../exporters/kafka/exporter.ts'
import { CODEC_IDS } from '../../exporters/kafka/codecs.ts'
import { DEFAULT_KAFKA_OPTIONS } from '../../exporters/kafka/options.ts'
import type { CompressionName, DriverName } from '../../exporters/kafka/options.ts'
import type { Batch } from '../../exporters/exporter.ts'
import { batchOf } from '../../exporters/sending/encoded.ts'
import { KafkaCluster } from '../support/kafka/cluster.ts'
import { describedParts, NODE_NAME, timeOf } from '../support/kafka/events.ts'
import { kafkaJars } from '../support/kafka/jars.ts'
import { Topics } from '../support/kafka/topics.ts'
import { median, printResult, QUICK, show } from './support/result.ts'
import type { Measure } from './support/result.ts'

const EVENTS = 20_000
const BATCH_PARTS = 4
const ROUNDS = QUICK ? 3 : 7
const CODECS = ['none', 'gzip', 'zstd'] as const satisfies readonly CompressionName[]
const NEVER = new AbortController().signal

type Run = () => Promise<void>

const parts = describedParts(0, EVENTS)
const batches: Batch[] = []
for (let i = 0; i < parts.length; i += BATCH_PARTS) batches.push(batchOf(parts.slice(i, i + BATCH_PARTS)))

const jars = await kafkaJars()
if ('missing' in jars) {
  console.error(`kafka bench: left out, ${jars.missing}`)
  process.exit(0)
}
await using cluster = await KafkaCluster.start(jars.folder, { nodes: 1 })
await new Topics(cluster.brokers).create('bench', 1)
guardKafkajs()

async function exporterOf(driver: DriverName, compression: CompressionName): Promise<[Run, Run]> {
  const names = { brokers: cluster.brokers, topic: 'bench', nodeName: NODE_NAME, epoch: 'e1', driver, compression }
  const exporter = new KafkaExporter({ ...DEFAULT_KAFKA_OPTIONS, ...names })
  await exporter.start()
  const run = async (): Promise<void> => {
    for (const batch of batches) {
      const outcome = await exporter.send(batch, NEVER)
      if (outcome.status !== 'delivered') throw new Error(`${driver}, ${compression}: ${outcome.status}`)
    }
  }
  return [run, () => exporter.stop()]
}

/** kafkajs as its documentation shows it, with the same headers and the same codec (which an exporter has plugged in). */
async function plainOf(compression: CompressionName): Promise<[Run, Run]> {
  const client = new kafkajs.Kafka({ brokers: cluster.brokers, logLevel: kafkajs.logLevel.NOTHING })
  const producer = client.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  const ready = batches.map((batch) =>
    batch.parts.flatMap(({ bytes, ends, firstSeq }) => messages(bytes, ends, firstSeq)),
  )
  const run = async (): Promise<void> => {
    for (const list of ready) {
      await producer.send({ topic: 'bench', messages: list, acks: -1, compression: CODEC_IDS[compression] })
    }
  }
  return [run, () => producer.disconnect()]
}

function messages(bytes: Uint8Array, ends: Uint32Array, firstSeq: number): Message[] {
  const common = { 'content-type': 'application/json', 'event-type': 'process_kprobe', node: NODE_NAME, schema: '1' }
  return Array.from(ends, (end, i) => {
    const value = Buffer.from(bytes.subarray(i === 0 ? 0 : ends[i - 1], end - 1))
    const seq = firstSeq + i
    return { key: NODE_NAME, value, headers: { ...common, seq: `e1-${seq}` }, timestamp: String(timeOf(seq)) }
  })
}

/** User + system of this process, µs per event: middle of the rounds. */
async function cpuOf(run: Run): Promise<number> {
  const rounds: number[] = []
  // The first two fill caches and let the code be compiled.
  for (let round = -2; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(before)
    if (round >= 0) rounds.push((user + system) / EVENTS)
  }
  return median(rounds)
}

const measures: Measure[] = []
const rows: string[][] = []
for (const compression of CODECS) {
  const cpu: Record<string, number> = {}
  for (const driver of ['platformatic', 'kafkajs', 'plain'] as const) {
    const [run, stop] = driver === 'plain' ? await plainOf(compression) : await exporterOf(driver, compression)
    cpu[driver] = await cpuOf(run)
    await stop()
  }
  const { platformatic = Number.NaN, kafkajs: ours = Number.NaN, plain = Number.NaN } = cpu
  const target = compression === 'zstd' ? { atMost: 5 } : {}
  measures.push({ name: `kafka, platformatic, ${compression}`, value: platformatic, unit: 'µs/event', ...target })
  measures.push({ name: `kafka, kafkajs driver, ${compression}`, value: ours, unit: 'µs/event' })
  measures.push({ name: `plain kafkajs, ${compression}`, value: plain, unit: 'µs/event' })
  measures.push({ name: `kafkajs driver ÷ plain kafkajs, ${compression}`, value: ours / plain, unit: '×', atMost: 1.1 })
  rows.push([compression, show(platformatic, 2), show(ours, 2), show(plain, 2), show(ours / plain, 2)])
}
const fast = measures.find(({ name }) => name === 'kafka, platformatic, zstd')?.value ?? Number.NaN
const slow = measures.find(({ name }) => name === 'plain kafkajs, none')?.value ?? Number.NaN
measures.push({ name: 'plain kafkajs, none ÷ platformatic, zstd', value: slow / fast, unit: '×', atLeast: 3 })

printResult('kafka', measures, [
  {
    title: 'Kafka: processor time per event, µs, acks all',
    columns: ['codec', 'platformatic driver', 'kafkajs driver', 'plain kafkajs', 'kafkajs driver ÷ plain'],
    rows,
    notes: [`${EVENTS} events of about 1.1 kB in batches of 800, one partition, broker on the same machine`],
  },
])
