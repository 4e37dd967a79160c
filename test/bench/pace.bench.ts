/**
 * Delay and cost of an event at 5,000 events/s, alone and while policies change. A recording is read from the ring at that rate, as the agent
 * reads it. It is sent with the defaults of a config to an OTLP sink in a process of its own. The time of each event runs from its
 * arrival in the ring to the sink's answer.
 */
import { setTimeout } from 'node:timers/promises'
import { Turns } from '../../collector/host/turns.ts'
import { chunks } from '../../collector/ingest/source.ts'
import { Conditions } from '../../collector/kernel/conditions/conditions.ts'
import { SHARED_MAPS } from '../../collector/plan/objects.ts'
import type { SharedMaps } from '../../collector/plan/objects.ts'
import type { LoadedPolicy } from '../../collector/plan/plan.ts'
import { PolicyPrograms } from '../../collector/kernel/policy-programs.ts'
import { parsePolicy } from '../../config/policy/parse.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { createJsonEncoder } from '../../exporters/encoding/json-line.ts'
import type { Batch, Exporter, Outcome } from '../../exporters/contract/exporter.ts'
import { FanOut } from '../../exporters/fanout.ts'
import { createOtlpEncoder } from '../../exporters/encoding/otlp/encode.ts'
import { OtlpExporter } from '../../exporters/sinks/otlp/exporter.ts'
import { Sender } from '../../exporters/sending/sender.ts'
import { gzip, zstd } from '../../native/index.ts'
import { kernel } from '../unit/collector/support/facts.ts'
import { FakeNative, FakeObject } from '../unit/collector/support/fake-native.ts'
import { endingAt, loadRecording } from '../support/recording/recording.ts'
import { synthesize } from '../support/recording/synthetic.ts'
import { discardingSink } from './support/discarding-sink.ts'
import { RecordedRing } from '../support/recording/ring.ts'
import { Line, NODE_NAME } from './support/replay.ts'
import { QUICK, printResult, show } from './support/result.ts'
import { CHAIN, exporterConfig } from '../support/exporter-config.ts'
import { DEFAULT_RECORDS } from '../../config/agent/exporters/otlp-records.ts'

const PER_SECOND = 5000
const SECONDS = QUICK ? 5 : 10
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

const POLICIES = 200
const FUNCTIONS = [
  'security_file_permission',
  'security_file_open',
  'security_mmap_file',
  'security_file_lock',
  'security_file_ioctl',
]

/** Five hooks, with values that no other policy has. */
function nthPolicy(n: number): Policy {
  const kprobes = FUNCTIONS.map((call) => ({
    call,
    syscall: false,
    args: [{ index: 0, type: 'file' }],
    selectors: [{ matchArgs: [{ index: 0, operator: 'Prefix', values: [`/srv/${n}`, `/usr/none-${n}/`] }] }],
  }))
  const document = {
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name: `n${n}` },
    spec: { kprobes },
  }
  const parsed = parsePolicy(JSON.stringify(document), `n${n}.yaml`)
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  return parsed.policy
}

/** Replaces policies by others, on a kernel in memory. */
function policyLoader(): { readonly change: (count: number) => Promise<void> } {
  const fake = new FakeNative()
  const shared = new FakeObject(fake, 'process.bpf.o', { programs: [] })
  const maps = Object.fromEntries(SHARED_MAPS.map((name) => [name, shared.map(name)])) as SharedMaps
  const file = { name: 'file', type: 'struct file *', base: 'struct file *', sizeBytes: 8 }
  const native = {
    openObject: fake.openObject,
    closed: fake.closed,
    kernelFunctionNames: fake.kernelFunctionNames,
    kernelMembers: fake.kernelMembers,
    kernelFunctions: async (names: readonly string[]) =>
      new Map(names.map((name) => [name, { returns: 'int', returnsBase: 'int', params: [file] }])),
  }
  const options = { facts: kernel(6, 12), mode: 'auto', agentPid: 1, native } as const
  const programs = new PolicyPrograms(
    options,
    maps,
    {},
    new Conditions(maps, { refusal: () => undefined, use: () => Promise.resolve(true) }),
  )
  let loaded: LoadedPolicy[] = []
  return {
    change: async (count) => {
      const policies: Policy[] = []
      const turns = new Turns()
      for (let n = 0; n < count; n++) {
        policies.push(nthPolicy(n))
        if (turns.over) await turns.rest()
      }
      loaded = await programs.change(loaded, policies)
    },
  }
}

interface Pace {
  readonly quantile: (part: number) => number
  /** Processor time, in percent of a core. */
  readonly percent: number
  readonly eventsARequest: number
}

/** `meanwhile`: other work of the event loop, from the end of the warm-up on. */
async function run(meanwhile: (stopping: AbortSignal) => Promise<void>): Promise<Pace> {
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
  const ring = new RecordedRing(recording.bytes, { onRound: () => stage.pass(recording.spanMs), due })
  const watch = (): Disposable => ({ [Symbol.dispose]: () => {} })
  let warm = process.cpuUsage()
  const beside = setTimeout(WARM_UP_SECONDS * 1000).then(() => {
    warm = process.cpuUsage()
    return meanwhile(stopping.signal)
  })
  const source = { ring, watch, maxDelayMs: MAX_DELAY_MS, watermarkBytes: 0, polls: () => true }
  for await (const chunk of chunks(source, stopping.signal)) {
    const events = stage.take(chunk)
    published += events.length
    const wait = fanout.publish(events)
    if (wait !== undefined) await wait
  }
  const { user, system } = process.cpuUsage(warm)
  await beside
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
  return { quantile, percent, eventsARequest: Math.round(published / exporter.requests) }
}

const alone = await run(async () => {})
let changes = 0
const beside = await run(async (stopping) => {
  const policies = policyLoader()
  while (!stopping.aborted) {
    await policies.change(POLICIES)
    changes++
  }
})

const row = (name: string, { quantile, percent, eventsARequest }: Pace): string[] => [
  name,
  ...[0.1, 0.5, 0.9, 0.99, 1].map((part) => show(quantile(part))),
  show(eventsARequest),
  show(percent, 1),
]
printResult(
  'pace',
  [
    { name: 'event → answer of an OTLP sink at 5,000/s, p50', value: alone.quantile(0.5), unit: 'ms', atMost: 60 },
    { name: 'event → answer of an OTLP sink at 5,000/s, p99', value: alone.quantile(0.99), unit: 'ms', atMost: 250 },
    {
      name: `event → answer of an OTLP sink at 5,000/s, ${POLICIES} policies of ${FUNCTIONS.length} hooks change, p99`,
      value: beside.quantile(0.99),
      unit: 'ms',
      atMost: 250,
    },
    { name: '5,000 events/s to OTLP, gzip-1', value: alone.percent, unit: '% of a core', atMost: 10 },
  ],
  [
    {
      title: '5,000 events/s to an OTLP sink on the same machine',
      columns: ['', 'p10, ms', 'p50, ms', 'p90, ms', 'p99, ms', 'most, ms', 'events a request', '% of a core'],
      rows: [
        row('nothing else', alone),
        row(`${changes} changes of ${POLICIES} policies of ${FUNCTIONS.length} hooks`, beside),
      ],
      notes: [
        'From the ring, read every 50 ms, to the sink’s answer. Without the kernel’s part of changes: verifier and attachments run on other threads.',
      ],
    },
  ],
)
