/**
 * Cost of a Kafka event to the sending process, by codec, with acks all, compared with plain kafkajs in the
 * same run. Real broker (Apache Kafka by jar) on the same machine; batches of 800 events, keyed by node.
 * Plain kafkajs gets ready-made messages, so that only its own cost is measured.
 */
import { guardKafkajs } from '../../exporters/sinks/kafka/client/guard.ts'
import type { KafkaConfig } from '../../exporters/sinks/kafka/client/connection.ts'
import { KafkaExporter } from '../../exporters/sinks/kafka/exporter.ts'
import { batchOf } from '../../exporters/contract/encoded.ts'
import { KafkaCluster } from '../support/kafka/cluster.ts'
import { describedParts, NODE_NAME } from '../support/kafka/events.ts'
import { kafkaJars } from '../support/kafka/jars.ts'
import { Topics } from '../support/kafka/topics.ts'
import { plainKafkajs } from './support/plain-kafkajs.ts'
import { leaveOut, median, printResult, QUICK, show } from './support/result.ts'
import type { Measure } from './support/result.ts'
import { gzip, zstd } from '../../native/index.ts'
import { exporterConfig } from '../support/exporter-config.ts'

const EVENTS = 20_000
const BATCH_PARTS = 4
const ROUNDS = QUICK ? 3 : 7
const CODECS = ['none', 'gzip', 'zstd'] as const satisfies ReadonlyArray<KafkaConfig['compression']>
const NEVER = new AbortController().signal

type Run = () => Promise<void>

const parts = describedParts(0, EVENTS)
const batches = Array.from({ length: Math.ceil(parts.length / BATCH_PARTS) }, (_, i) => {
  const own = parts.slice(i * BATCH_PARTS, (i + 1) * BATCH_PARTS)
  return { ...batchOf(own), parts: own }
})

const jars = await kafkaJars()
if ('missing' in jars) leaveOut(jars.missing)
await using cluster = await KafkaCluster.start(jars.folder, { nodes: 1 })
await new Topics(cluster.brokers).create('bench', 1)
guardKafkajs()

async function exporterOf(compression: KafkaConfig['compression']): Promise<[Run, Run]> {
  const config = exporterConfig('kafka', { brokers: cluster.brokers, topic: 'bench', compression })
  const context = { nodeName: NODE_NAME, epoch: 'e1', env: {} }
  const exporter = new KafkaExporter(config, context, { compressors: { gzip, zstd } })
  await exporter.start()
  const run = async (): Promise<void> => {
    for (const batch of batches) {
      const outcome = await exporter.send(batch, NEVER)
      if (outcome.status !== 'delivered') throw new Error(`${compression}: ${outcome.status}`)
    }
  }
  return [run, () => exporter.stop()]
}

/** kafkajs as its documentation shows it, with the same headers and the same codec. */
function plainOf(compression: KafkaConfig['compression']): Promise<[Run, Run]> {
  const plain = batches.map(({ parts }) => parts)
  const { brokers } = cluster
  return plainKafkajs({ brokers, topic: 'bench', compression, nodeName: NODE_NAME, batches: plain })
}

/** User + system of this process, µs per event: middle of the rounds. */
async function cpuOf(run: Run): Promise<number> {
  const rounds: number[] = []
  // The first two fill caches and let the JIT compile.
  for (let round = -2; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(before)
    if (round >= 0) rounds.push((user + system) / EVENTS)
  }
  return median(rounds)
}

const cpu = new Map<string, number>()
// Plain kafkajs last: its ready-made messages become garbage, which would slow the next measurement.
for (const sender of ['ktrail', 'plain'] as const) {
  for (const compression of CODECS) {
    const [run, stop] = sender === 'plain' ? await plainOf(compression) : await exporterOf(compression)
    cpu.set(`${sender} ${compression}`, await cpuOf(run))
    await stop()
  }
}

const measures: Measure[] = []
const rows: string[][] = []
for (const compression of CODECS) {
  const of = (sender: string): number => cpu.get(`${sender} ${compression}`) ?? Number.NaN
  const [ours, plain] = [of('ktrail'), of('plain')]
  const target = compression === 'zstd' ? { atMost: 5 } : {}
  measures.push({ name: `kafka, ${compression}`, value: ours, unit: 'µs/event', ...target })
  measures.push({ name: `plain kafkajs, ${compression}`, value: plain, unit: 'µs/event' })
  measures.push({ name: `kafka ÷ plain kafkajs, ${compression}`, value: ours / plain, unit: '×', atMost: 1.1 })
  rows.push([compression, show(ours, 2), show(plain, 2), show(ours / plain, 2)])
}
const fast = measures.find(({ name }) => name === 'kafka, zstd')?.value ?? Number.NaN
const slow = measures.find(({ name }) => name === 'plain kafkajs, none')?.value ?? Number.NaN
measures.push({ name: 'plain kafkajs, none ÷ kafka, zstd', value: slow / fast, unit: '×', atLeast: 3 })

printResult('kafka', measures, [
  {
    title: 'Kafka: processor time per event, µs, acks all',
    columns: ['codec', 'ktrail', 'plain kafkajs', 'ktrail ÷ plain'],
    rows,
    notes: [`${EVENTS} events of about 1.1 kB in batches of 800, one partition, broker on the same machine.`],
  },
])
