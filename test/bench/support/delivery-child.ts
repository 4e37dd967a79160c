/**
 * One way of delivery in a process of its own, so that it shares neither memory nor compiled code with another. Reports that it is
 * ready, then plays one round for each message and reports the cost.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe } from '../../../exporters/contract/described.ts'
import { createJsonEncoder } from '../../../exporters/index.ts'
import { guardKafkajs } from '../../../exporters/sinks/kafka/client/guard.ts'
import { endingAt, loadRecording } from '../../support/recording/recording.ts'
import { synthesize } from '../../support/recording/synthetic.ts'
import type { MetricsPage } from '../../e2e/support/metrics.ts'
import { RecordedAgent } from '../../support/kernel/recorded.ts'
import { plainKafkajs } from './plain-kafkajs.ts'
import { Line, NODE_NAME, chunksOf } from './replay.ts'
import { COUNTED } from './result.ts'
import { sdkPipeline } from './sdk-pipeline.ts'
import { DEFAULT_RECORDS } from '../../../config/agent/exporters/otlp-records.ts'

/** The way that the process measures, with at least `events` events a round. */
export type Way =
  /** The real agent with these exporters; ${env:FOLDER} is a folder of the round. One named `dead` cannot deliver. */
  | { readonly is: 'line'; readonly exporters: string; readonly events: number }
  | { readonly is: 'sdk'; readonly endpoint: string; readonly events: number }
  | { readonly is: 'kafkajs'; readonly brokers: readonly string[]; readonly topic: string; readonly events: number }

/** Cost of one round. */
export interface Cost {
  /** User + system of the whole process. */
  readonly cpuUs: number
  readonly perS: number
  /** The peak memory of the process so far, in MB. */
  readonly rssMB: number
}

export type Message = { readonly is: 'ready' } | { readonly is: 'cost'; readonly cost: Cost }

export const SYNTHETIC_RECORDS = 60_000
/** For a guest that counts instructions, which is slow. */
export const COUNTED_RECORDS = 6_000
const EPOCH = '1795520000'
const STOP_SECONDS = 60
const ACCEPTED = 'ktrail_exporter_accepted_events_total'
/** Below the request limit of brokers, which is 1 MiB. */
const KAFKA_BATCH = 600
const BUILD = fileURLToPath(new URL('../../../build/', import.meta.url))

/** Recorded ones differ from machine to machine. */
const recording = endingAt(
  COUNTED ? synthesize(COUNTED_RECORDS) : (loadRecording() ?? synthesize(SYNTHETIC_RECORDS)),
  Date.now(),
)

/** Plays a round and returns its cost. */
type Round = () => Promise<Cost>

export function roundOf(way: Way): Round | Promise<Round> {
  switch (way.is) {
    case 'line':
      return lineOf(way)
    case 'sdk':
      return sdkOf(way)
    case 'kafkajs':
      return kafkajsOf(way)
  }
}

function lineOf({ exporters, events }: Extract<Way, { is: 'line' }>): Round {
  const line = new Line(recording)
  const perRound = chunksOf(recording).reduce((sum, chunk) => sum + line.take(chunk).length, 0)
  const rounds = Math.ceil(events / perRound)
  return async () => {
    // Made by the recorder, if it exists already.
    mkdirSync(BUILD, { recursive: true })
    const folder = mkdtempSync(COUNTED ? `${tmpdir()}/bench-` : `${BUILD}bench-`)
    try {
      let began = false
      const agent = await RecordedAgent.start({
        folder,
        yaml: `shutdown: { grace: ${STOP_SECONDS}s }\n${exporters}`,
        recording,
        rounds,
        due: () => (began ? Infinity : 0),
      })
      return await measured(async () => {
        began = true
        agent.kernel.wake()
        await agent.kernel.played
        const published = rounds * perRound
        audit(await agent.metrics(), published)
        const { droppedAtStop } = await agent.agent.stop()
        if (droppedAtStop > 0)
          throw new Error(`expected all events delivered, ${droppedAtStop} were dropped at the stop`)
        return published
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
}

/** Throws unless each exporter has accepted all, and dropped and rejected none. The stop drops the undelivered events, or a spool has them. */
function audit(page: MetricsPage, published: number): void {
  for (const exporter of page.labels(ACCEPTED, 'exporter')) {
    const [accepted, dropped] = [ACCEPTED, 'ktrail_exporter_dropped_events_total'].map((name) =>
      page.sum(name, { exporter }),
    )
    const imbalance = page.sum('ktrail_accounting_imbalance_events', { exporter })
    if (accepted !== undefined && accepted >= published && dropped === 0 && imbalance === 0) continue
    throw new Error(
      `${exporter}: expected ${published} events, got ${accepted}; ${dropped} dropped, imbalance ${imbalance}`,
    )
  }
}

function sdkOf({ endpoint, events }: Extract<Way, { is: 'sdk' }>): Round {
  const line = new Line(recording)
  const cycles = slices(
    chunksOf(recording).flatMap((chunk) => line.take(chunk)),
    1000,
  )
  const json = createJsonEncoder({ nodeName: NODE_NAME })
  return () => measured(() => sdkPipeline(cycles, events, { ...DEFAULT_RECORDS, endpoint, epoch: EPOCH, json }))
}

async function kafkajsOf({ brokers, topic, events }: Extract<Way, { is: 'kafkajs' }>): Promise<Round> {
  guardKafkajs()
  const line = new Line(recording)
  const json = createJsonEncoder({ nodeName: NODE_NAME })
  const all = chunksOf(recording).flatMap((chunk) => line.take(chunk))
  const batches = slices(all.slice(0, events), KAFKA_BATCH).map((batch) => [describe(json.encode(batch), batch)])
  const [run] = await plainKafkajs({ brokers, topic, compression: 'none', nodeName: NODE_NAME, batches })
  const count = Math.min(events, all.length)
  return () => measured(async () => (await run(), count))
}

function slices<T>(list: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / length) }, (_, i) => list.slice(i * length, (i + 1) * length))
}

/** `work` returns the number of events that were delivered. */
async function measured(work: () => Promise<number>): Promise<Cost> {
  const before = process.cpuUsage()
  const startMs = performance.now()
  const events = await work()
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  const rssMB = (process.resourceUsage().maxRSS * 1024) / 1e6
  return { cpuUs: (user + system) / events, perS: (events / ms) * 1000, rssMB }
}

function send(message: Message): void {
  process.send?.(message)
}

if (import.meta.main) {
  process.on('disconnect', () => process.exit())
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by delivery.bench.ts
  const round = await roundOf(JSON.parse(process.argv[2] ?? '') as Way)
  process.on('message', () => void round().then((cost) => send({ is: 'cost', cost })))
  send({ is: 'ready' })
}
