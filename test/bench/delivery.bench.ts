/**
 * Cost of an event from the ring to the sink's answer, for each way of delivery, for all together, and with one dead sink.
 * The real agent runs on a kernel that plays kernel-shaped records; each way has a process of its own with the launcher's flags.
 * The sinks are other processes on the same machine. For comparison, the same rounds run the SDK's pipeline and plain
 * kafkajs, which skip everything before the encoding.
 */
import { loadRecording } from '../support/recording/recording.ts'
import { KafkaCluster } from '../support/kafka/cluster.ts'
import { kafkaJars } from '../support/kafka/jars.ts'
import { Topics } from '../support/kafka/topics.ts'
import { contest } from './support/contest.ts'
import { SYNTHETIC_RECORDS } from './support/delivery-child.ts'
import type { Cost, Way } from './support/delivery-child.ts'
import { discardingSink } from './support/discarding-sink.ts'
import { QUICK, median, printResult, rounds, show, shownSpread } from './support/result.ts'
import type { Measure, Rounds } from './support/result.ts'

const ROUNDS = QUICK ? 2 : 5
const WARM_UP = QUICK ? 1 : 2
/** A port on which no program listens. */
const NOWHERE = 'http://127.0.0.1:9/v1/logs'

await using stack = new AsyncDisposableStack()
const { url: endpoint } = stack.use(await discardingSink())
const jars = await kafkaJars()
const cluster = 'missing' in jars ? undefined : stack.use(await KafkaCluster.start(jars.folder, { nodes: 1 }))
const topic = 'bench'
if (cluster !== undefined) await new Topics(cluster.brokers).create(topic, 1)

// All exporters block: dropped events would cost less.
const chain = 'queue: { when_full: block }'
const spool = 'spool: { dir: "${env:FOLDER}/spool", min_free: 0B }'
const file = `archive: { type: file, path: "\${env:FOLDER}/events.jsonl", ${chain} }`
const otlp = (compression: string, more = ''): string =>
  `otlp: { type: otlp, logs_endpoint: "${endpoint}", compression: ${compression}, ${chain}${more} }`
const dead = `dead: { type: otlp, logs_endpoint: "${NOWHERE}", compression: gzip, ${chain}, ${spool} }`
const kafka = (brokers: readonly string[], { compression = 'zstd', more = '' } = {}): string =>
  `bus: { type: kafka, brokers: ${JSON.stringify(brokers)}, topic: ${topic}, compression: ${compression}, ${chain}${more} }`

/** Rounds are long: V8 is still compiling during an agent's first half million events. */
const line = (events: number, ...exporters: readonly string[]): Way => ({
  is: 'line',
  exporters: `exporters:\n${exporters.map((exporter) => `  ${exporter}\n`).join('')}`,
  events: QUICK ? events / 2 : events,
})
const ways = new Map<string, Way>([
  ['file', line(600_000, file)],
  ['gzip', line(400_000, otlp('gzip'))],
  ['zstd', line(400_000, otlp('zstd'))],
  ['encoder', line(40_000, otlp('gzip', ', encoder: sdk'))],
  ['always', line(300_000, otlp('gzip', `, spool: { dir: "\${env:FOLDER}/spool", use: always, min_free: 0B }`))],
  ['sdk', { is: 'sdk', endpoint, events: 40_000 }],
])
const others = cluster === undefined ? [file] : [file, kafka(cluster.brokers)]
if (cluster !== undefined) {
  ways.set('kafka', line(400_000, kafka(cluster.brokers)))
  ways.set('raw', line(40_000, kafka(cluster.brokers, { compression: 'none' })))
  ways.set('records', line(300_000, kafka(cluster.brokers, { more: ', format: otlp_proto' })))
  ways.set('kafkajs', { is: 'kafkajs', brokers: cluster.brokers, topic, events: 20_000 })
}
ways.set('all', line(300_000, ...others, otlp('gzip')))
// As with a collector and a Loki: a second sink of the same encoding.
const second = `loki: { type: otlp, logs_endpoint: "${endpoint}", compression: gzip, loki: true, body: json, ${chain} }`
ways.set('four', line(300_000, ...others, otlp('gzip'), second))
ways.set('dead', line(300_000, ...others, dead))
ways.set('without', line(300_000, ...others))

const costs = await contest(ways, { rounds: ROUNDS, warmUp: WARM_UP })
const of = (name: string, pick: (cost: Cost) => number): number[] => (costs.get(name) ?? []).map(pick)
const cpu = (name: string): Rounds => rounds(of(name, ({ cpuUs }) => cpuUs))
/** Ratios within each round, which has all ways in turn. */
const ratio = (name: string, base: string): Rounds => {
  const bases = of(base, ({ cpuUs }) => cpuUs)
  return rounds(of(name, ({ cpuUs }) => cpuUs).map((cpuUs, i) => cpuUs / (bases[i] ?? Number.NaN)))
}
const together = cluster === undefined ? 'file + OTLP' : 'file + OTLP + Kafka'
const rest = cluster === undefined ? 'file' : 'file + Kafka'
const LABELS: Readonly<Record<string, string>> = {
  file: 'file, fdatasync each second',
  gzip: 'OTLP, gzip-1',
  zstd: 'OTLP, zstd-1',
  encoder: 'OTLP, gzip-1, encoder: sdk',
  always: 'OTLP, gzip-1, over the spool (use: always)',
  kafka: 'Kafka, zstd, acks all',
  raw: 'Kafka, uncompressed, acks all',
  records: 'Kafka, format: otlp_proto, zstd, acks all',
  all: together,
  four: `${together} + OTLP with Loki's limits`,
  dead: `${together}, OTLP dead and spooled`,
  without: rest,
  sdk: 'SDK: batch processor + OTLP exporter (JSON), uncompressed',
  kafkajs: 'plain kafkajs, uncompressed, acks all',
}

const unit = 'µs CPU per event'
const measures: Measure[] = [
  { name: 'ring → file', ...cpu('file'), unit, atMost: 1.5 },
  { name: 'ring → OTLP, gzip-1', ...cpu('gzip'), unit, atMost: 3 },
  { name: 'ring → OTLP, zstd-1', ...cpu('zstd'), unit, atMost: 2.2 },
  { name: 'ring → OTLP, gzip-1, spool: always', ...cpu('always'), unit, atMost: 4.5 },
  { name: 'ring → OTLP, gzip-1, encoder: sdk', ...cpu('encoder'), unit, atMost: 35 },
  { name: 'SDK pipeline uncompressed ÷ ring → OTLP, gzip-1', ...ratio('sdk', 'gzip'), unit: '×', atLeast: 3 },
  { name: 'SDK pipeline uncompressed ÷ ring → OTLP, zstd-1', ...ratio('sdk', 'zstd'), unit: '×', atLeast: 4 },
]
if (cluster !== undefined) {
  measures.push(
    { name: 'ring → Kafka, zstd, acks all', ...cpu('kafka'), unit, atMost: 3.2 },
    { name: 'ring → Kafka, zstd, format: otlp_proto', ...cpu('records'), unit, atMost: 4 },
    { name: 'plain kafkajs uncompressed ÷ ring → Kafka, zstd', ...ratio('kafkajs', 'kafka'), unit: '×', atLeast: 3 },
    { name: 'ring → Kafka ÷ plain kafkajs, uncompressed', ...ratio('raw', 'kafkajs'), unit: '×', atMost: 1.1 },
  )
}
measures.push(
  { name: `ring → ${together}`, ...cpu('all'), unit, atMost: 6.5 },
  { name: `ring → ${together} + OTLP for Loki`, ...cpu('four'), unit, atMost: 8 },
  {
    name: `ring → ${together}, OTLP dead and spooled ÷ all alive`,
    ...ratio('dead', 'all'),
    unit: '×',
    atMost: 1.05,
  },
  { name: `ring → ${rest}`, ...cpu('without'), unit },
)

const row = (name: string): string[] => [
  LABELS[name] ?? name,
  show(cpu(name).value, 2),
  shownSpread(cpu(name)),
  show(Math.round(median(of(name, ({ perS }) => perS)) / 1000) * 1000),
  show(Math.max(...of(name, ({ rssMB }) => rssMB))),
]
const source = loadRecording()?.source ?? `synthetic, ${SYNTHETIC_RECORDS} records`
printResult('delivery', measures, [
  {
    title: 'Delivery, one process: from ring bytes to the answer of the sink',
    columns: ['', 'CPU µs per event', 'spread', 'events/s (wall)', 'RSS at most, MB'],
    rows: [...costs.keys()].map(row),
    notes: [
      `Ring bytes: ${source}. Medians of ${ROUNDS} alternating rounds; the spread is the distance between the least and the largest value, in percent of the median. Each row has its own process, with V8 flags and allocator of ./ktrail.`,
      'CPU includes compression and disk, but not sinks and broker.',
      `The dead sink refuses connections; without its exporter, the row is "${rest}".`,
      'SDK and kafkajs get decoded input, kafkajs ready-made messages.',
      ...('missing' in jars ? [`Kafka is left out: ${jars.missing}.`] : []),
    ],
  },
])
