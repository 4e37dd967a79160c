/**
 * How long does an event take at 5,000 events/s, and what does that cost? A recording is read from the ring at that rate, as the agent
 * reads it, and sent with the defaults of a config to an OTLP sink in a process of its own. The time of each event runs from its
 * arrival in the ring to the sink's answer.
 */
import { chunks } from '../../collector/ingest/source.ts'
import { createJsonEncoder } from '../../exporters/encoding/json-line.ts'
import type { Batch, Exporter, Outcome } from '../../exporters/contract/exporter.ts'
import { FanOut } from '../../exporters/fanout.ts'
import { createOtlpEncoder } from '../../exporters/encoding/otlp/encode.ts'
import { OtlpExporter } from '../../exporters/sinks/otlp/exporter.ts'
import { Sender } from '../../exporters/sending/sender.ts'
import { gzip, zstd } from '../../native/index.ts'
import { endingAt, loadRecording } from '../support/recording/recording.ts'
import { synthesize } from '../support/recording/synthetic.ts'
import { discardingSink } from './support/discarding-sink.ts'
import { Line, NODE_NAME, RecordedRing } from './support/replay.ts'
import { QUICK, printResult, show } from './support/result.ts'
import { CHAIN, exporterConfig } from '../support/exporter-config.ts'
import { DEFAULT_RECORDS } from '../../config/agent/exporters/otlp-records.ts'

const PER_SECOND = 5000
const SECONDS = QUICK ? 5 : 20
/** By then code is compiled and connections are open. */
const WARM_UP_SECONDS = QUICK ? 2 : 5
/** The agent's defaults. */
const MAX_DELAY_MS = 50
const CONCURRENCY = 4
const SYNTHETIC_RECORDS = 60_000

/** Records when each event was taken; events are numbered in the order of the ring. */
class Timed implements Exporter {
  readonly type = 'otlp'
  readonly encoding: Exporter['encoding']
  readonly maxConcurrency: number
  readonly releases: boolean
  /** Milliseconds, by event. */
  readonly takenMs = new Float64Array(PER_SECOND * (SECONDS + WARM_UP_SECONDS + 5))
  requests = 0
  readonly #inner: OtlpExporter

  constructor(inner: OtlpExporter) {
    this.#inner = inner
    this.encoding = inner.encoding
    this.maxConcurrency = inner.maxConcurrency
    this.releases = inner.releases
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    const outcome = await this.#inner.send(batch, signal)
    if (outcome.status !== 'delivered') throw new Error(`expected delivered, got ${outcome.status}`)
    this.requests++
    const nowMs = performance.now()
    for (const { firstSeq, count } of batch.parts) this.takenMs.fill(nowMs, firstSeq, firstSeq + count)
    return outcome
  }

  start(): Promise<void> {
    return this.#inner.start()
  }

  stop(): Promise<void> {
    return this.#inner.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

using sink = await discardingSink()
const recording = endingAt(loadRecording() ?? synthesize(SYNTHETIC_RECORDS), Date.now())
const exporter = new Timed(
  new OtlpExporter(
    exporterConfig('otlp', { logs_endpoint: sink.url, compression: 'gzip', concurrency: { max: CONCURRENCY } }),
    { nodeName: NODE_NAME, env: {} },
    { compressors: { gzip, zstd } },
  ),
)
const json = createJsonEncoder({ nodeName: NODE_NAME })
const encoder = createOtlpEncoder({ ...DEFAULT_RECORDS, epoch: '1795520000', body: 'json', json })
const sender = new Sender('pace', exporter, CHAIN)
const fanout = new FanOut([{ encoder, sender }])
await fanout.start()

const stage = new Line(recording)
const stopping = new AbortController()
const startMs = performance.now()
let published = 0
const due = (): number => {
  const seconds = (performance.now() - startMs) / 1000
  if (seconds > WARM_UP_SECONDS + SECONDS) stopping.abort()
  return stopping.signal.aborted ? 0 : Math.floor(seconds * PER_SECOND) - published
}
const ring = new RecordedRing(recording.bytes, Infinity, () => stage.pass(recording.spanMs), due)
const watch = (): Disposable => ({ [Symbol.dispose]: () => {} })
let warm = process.cpuUsage()
setTimeout(() => (warm = process.cpuUsage()), WARM_UP_SECONDS * 1000)
const source = { ring, watch, maxDelayMs: MAX_DELAY_MS, watermarkBytes: 0, polls: () => true }
for await (const chunk of chunks(source, stopping.signal)) {
  const events = stage.take(chunk)
  published += events.length
  const wait = fanout.publish(events)
  if (wait !== undefined) await wait
}
const { user, system } = process.cpuUsage(warm)
await fanout.stop(10_000)
if (sender.accounting().delivered !== published) {
  throw new Error(`expected ${published} delivered, got ${sender.accounting().delivered}`)
}

const first = PER_SECOND * WARM_UP_SECONDS
const times = Float64Array.from({ length: published - first }, (_, i) => {
  const index = first + i
  return (exporter.takenMs[index] ?? Number.NaN) - (startMs + (index / PER_SECOND) * 1000)
}).toSorted()
const quantile = (part: number): number =>
  times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? Number.NaN
const percent = (user + system) / 10_000 / SECONDS
printResult(
  'pace',
  [
    { name: 'event → answer of an OTLP sink at 5,000/s, p50', value: quantile(0.5), unit: 'ms', atMost: 60 },
    { name: 'event → answer of an OTLP sink at 5,000/s, p99', value: quantile(0.99), unit: 'ms', atMost: 250 },
    { name: '5,000 events/s to OTLP, gzip-1', value: percent, unit: '% of a core', atMost: 10 },
  ],
  [
    {
      title: '5,000 events/s to an OTLP sink on the same machine',
      columns: ['p10, ms', 'p50, ms', 'p90, ms', 'p99, ms', 'most, ms', 'events a request', '% of a core'],
      rows: [
        [
          ...[0.1, 0.5, 0.9, 0.99, 1].map((part) => show(quantile(part))),
          show(Math.round(published / exporter.requests)),
          show(percent, 1),
        ],
      ],
      notes: [
        'From the ring, which is read every 50 ms, to the answer of the sink, with default batches. User space only.',
      ],
    },
  ],
)
