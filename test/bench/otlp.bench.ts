/**
 * Cost of one event on the way to an OTLP sink. Recorded events go through fan-out, encoder, queue, batcher and the OTLP exporter
 * to a server in a process of its own that discards everything. For comparison, the same run measures the SDK's pipeline: Logger,
 * BatchLogRecordProcessor and the OTLP exporter, with the same bodies and attributes, at a rate at which it drops none.
 */
import type { Event } from '../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../exporters/encoding/json-line.ts'
import type { Encoder } from '../../exporters/contract/exporter.ts'
import { FanOut } from '../../exporters/fanout.ts'
import type { Compression } from '../../exporters/runtime/compression.ts'
import { createOtlpEncoder } from '../../exporters/encoding/otlp/encode.ts'
import { OtlpExporter } from '../../exporters/sinks/otlp/exporter.ts'
import { createSdkEncoder } from '../../exporters/encoding/otlp/sdk.ts'
import { Sender } from '../../exporters/sending/sender.ts'
import { loadRecording } from '../support/recording/recording.ts'
import { synthesize } from '../support/recording/synthetic.ts'
import { discardingSink } from './support/discarding-sink.ts'
import { Line, NODE_NAME, chunksOf } from './support/replay.ts'
import { QUICK, median, printResult, show } from './support/result.ts'
import { sdkPipeline } from './support/sdk-pipeline.ts'
import { gzip, zstd } from '../../native/index.ts'
import { CHAIN, exporterConfig } from '../support/exporter-config.ts'
import { DEFAULT_RECORDS } from '../../config/agent/exporters/otlp-records.ts'

const SYNTHETIC_RECORDS = 60_000
const EVENTS = QUICK ? 100_000 : 600_000
const RUNS = QUICK ? 1 : 3
/** The SDK is ten times slower; fewer events give the same figure. */
const SDK_EVENTS = QUICK ? 30_000 : 100_000
const CYCLE = 1000

interface Cost {
  readonly cpuUs: number
  readonly perS: number
  /** On the wire. */
  readonly bytes: number
}

using sink = await discardingSink()
const endpoint = sink.url

const recording = (process.argv.includes('--synthetic') ? undefined : loadRecording()) ?? synthesize(SYNTHETIC_RECORDS)
const line = new Line(recording)
const events: Event[] = chunksOf(recording).flatMap((chunk) => line.take(chunk))
const cycles = Array.from({ length: Math.ceil(events.length / CYCLE) }, (_, i) =>
  events.slice(i * CYCLE, (i + 1) * CYCLE),
)
const json = createJsonEncoder({ nodeName: NODE_NAME })
const mapping = { ...DEFAULT_RECORDS, epoch: '1795520000', json }

/** Whole decode cycles through the chain until `count` events are delivered. */
async function chain(encoder: Encoder, compression: Compression, count: number): Promise<Cost> {
  const exporter = new OtlpExporter(
    exporterConfig('otlp', { logs_endpoint: endpoint, compression, concurrency: { max: 16 } }),
    { nodeName: NODE_NAME, env: {} },
    { compressors: { gzip, zstd } },
  )
  const sender = new Sender('bench', exporter, CHAIN)
  const fanout = new FanOut([{ encoder, sender }])
  await fanout.start()
  const before = process.cpuUsage()
  const startMs = performance.now()
  let given = 0
  for (let i = 0; given < count; i++) {
    const cycle = cycles[i % cycles.length] ?? []
    given += cycle.length
    const wait = fanout.publish(cycle)
    if (wait !== undefined) await wait
  }
  await fanout.stop(60_000)
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  const { delivered } = sender.accounting()
  if (delivered !== given || sender.imbalance() !== 0) throw new Error(`expected ${given} delivered, got ${delivered}`)
  const bytes = (exporter.counters['request_bytes'] ?? 0) / delivered
  return { cpuUs: (user + system) / delivered, perS: (delivered / ms) * 1000, bytes }
}

/** The SDK's pipeline, fed the same bodies and attributes. */
async function sdk(count: number): Promise<Cost> {
  const before = process.cpuUsage()
  const startMs = performance.now()
  const given = await sdkPipeline(cycles, count, { endpoint, ...mapping })
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  return { cpuUs: (user + system) / given, perS: (given / ms) * 1000, bytes: 0 }
}

/** One encoder alone. */
function encodeOnly(encoder: Encoder): Cost {
  let bytes = 0
  let given = 0
  const run = (): void => {
    for (const cycle of cycles) {
      for (let at = 0; at < cycle.length; at += 200) bytes += encoder.encode(cycle.slice(at, at + 200)).bytes.length
      given += cycle.length
    }
  }
  run()
  given = 0
  bytes = 0
  const before = process.cpuUsage()
  const startMs = performance.now()
  while (performance.now() - startMs < (QUICK ? 500 : 1500)) run()
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  return { cpuUs: (user + system) / given, perS: (given / ms) * 1000, bytes: bytes / given }
}

async function middle(run: () => Promise<Cost>): Promise<Cost> {
  const runs: Cost[] = []
  for (let i = 0; i < RUNS; i++) runs.push(await run())
  const cpu = median(runs.map(({ cpuUs }) => cpuUs))
  return runs.find(({ cpuUs }) => cpuUs === cpu) ?? { cpuUs: 0, perS: 0, bytes: 0 }
}

const own = createOtlpEncoder(mapping)
const rows: Array<readonly [name: string, cost: Cost]> = []
rows.push(['encode JSON line', encodeOnly(json)])
rows.push(['encode OTLP, JSON body included', encodeOnly(own)])
await chain(own, 'none', CYCLE * 50)
rows.push(['chain → OTLP, uncompressed', await middle(() => chain(own, 'none', EVENTS))])
rows.push(['chain → OTLP, gzip-1', await middle(() => chain(own, 'gzip', EVENTS))])
rows.push(['chain → OTLP, zstd-1', await middle(() => chain(own, 'zstd', EVENTS))])
rows.push([
  'chain → OTLP, gzip-1, encoder: sdk',
  await middle(() => chain(createSdkEncoder(mapping), 'gzip', SDK_EVENTS)),
])
rows.push(['SDK: batch processor + OTLP exporter (JSON), uncompressed', await middle(() => sdk(SDK_EVENTS))])

const of = (part: string): Cost => rows.find(([name]) => name.includes(part))?.[1] ?? { cpuUs: 0, perS: 0, bytes: 0 }
const reference = of('SDK:').cpuUs
printResult(
  'otlp',
  [
    { name: 'to OTLP, gzip-1', value: of('OTLP, gzip-1').cpuUs, unit: 'µs CPU per event', atMost: 6 },
    { name: 'to OTLP, zstd-1', value: of('OTLP, zstd-1').cpuUs, unit: 'µs CPU per event', atMost: 4 },
    { name: 'SDK pipeline uncompressed ÷ gzip-1', value: reference / of('OTLP, gzip-1').cpuUs, unit: '×', atLeast: 3 },
    { name: 'SDK pipeline uncompressed ÷ zstd-1', value: reference / of('OTLP, zstd-1').cpuUs, unit: '×', atLeast: 4 },
    ...rows.map(([name, { cpuUs }]) => ({ name, value: cpuUs, unit: 'µs CPU per event' })),
  ],
  [
    {
      title: 'OTLP, one process',
      columns: ['', 'CPU µs per event', 'events/s (wall)', 'bytes per event', 'SDK pipeline = 1'],
      rows: rows.map(([name, { cpuUs, perS, bytes }]) => [
        name,
        show(cpuUs, 2),
        show(Math.round(perS / 1000) * 1000),
        bytes === 0 ? '' : show(bytes),
        show(reference / cpuUs, 1),
      ]),
      notes: [
        `Events: ${recording.source}; ${show(events.length)} of them, repeated. The sink is another process.`,
        'CPU includes compression, but not the decoding of ring bytes.',
        'The SDK gets the same bodies and attributes, and waits after each 1,000 events, so that it drops none.',
      ],
    },
  ],
)
