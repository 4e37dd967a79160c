/**
 * One way of delivery in a process of its own, so that it shares neither memory nor compiled code with another. Reports that it is
 * ready, then plays one round for each message and reports the cost.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { createFanOut } from '../../../exporters/start.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { describe } from '../../../exporters/contract/described.ts'
import { EncoderPool, createJsonEncoder } from '../../../exporters/index.ts'
import type { Sender } from '../../../exporters/index.ts'
import { guardKafkajs } from '../../../exporters/sinks/kafka/client/guard.ts'
import { endingAt, loadRecording } from '../../support/recording/recording.ts'
import { synthesize } from '../../support/recording/synthetic.ts'
import { plainKafkajs } from './plain-kafkajs.ts'
import { play } from './play.ts'
import { Line, NODE_NAME, chunksOf } from './replay.ts'
import { sdkPipeline } from './sdk-pipeline.ts'
import { gzip, zstd } from '../../../native/index.ts'
import { DEFAULT_RECORDS } from '../../../config/agent/exporters/otlp-records.ts'

/** What the process has to measure, with at least `events` events a round. */
export type Way =
  /** The agent's pipeline with these exporters; ${env:FOLDER} is a folder of the round. One named `dead` cannot deliver. */
  | { readonly is: 'line'; readonly exporters: string; readonly events: number }
  | { readonly is: 'sdk'; readonly endpoint: string; readonly events: number }
  | { readonly is: 'kafkajs'; readonly brokers: readonly string[]; readonly topic: string; readonly events: number }

/** What one round cost. */
export interface Cost {
  /** User + system of the whole process. */
  readonly cpuUs: number
  readonly perS: number
  /** The peak memory of the process so far, in MB. */
  readonly rssMB: number
}

export type Message = { readonly is: 'ready' } | { readonly is: 'cost'; readonly cost: Cost }

export const SYNTHETIC_RECORDS = 60_000
const EPOCH = '1795520000'
const STOP_MS = 60_000
/** Below the request limit of brokers, which is 1 MiB. */
const KAFKA_BATCH = 600
const BUILD = fileURLToPath(new URL('../../../build/', import.meta.url))

const recording = endingAt(loadRecording() ?? synthesize(SYNTHETIC_RECORDS), Date.now())

/** Plays a round and returns how many events were delivered. */
type Round = () => Promise<number>

function roundOf(way: Way): Round | Promise<Round> {
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
  return async () => {
    // Made by the recorder, if it exists already.
    mkdirSync(BUILD, { recursive: true })
    const folder = mkdtempSync(`${BUILD}bench-`)
    try {
      const loaded = loadConfig(exporters, 'bench.yaml', { FOLDER: folder }, () => '')
      if (!('config' in loaded)) throw new Error(JSON.stringify(loaded))
      const encoders = new EncoderPool(NODE_NAME)
      const log = pino({ level: 'silent' })
      const context = { nodeName: NODE_NAME, epoch: EPOCH, encoders, compressors: { gzip, zstd }, env: {}, log }
      const fanout = await createFanOut(loaded.config.exporters, context)
      await fanout.start()
      const published = await play(recording, Math.ceil(events / perRound), fanout)
      await fanout.stop(STOP_MS)
      for (const sender of fanout.senders) audit(sender, published)
      return published
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
}

/** Throws unless all is delivered or, for a dead exporter, kept. */
function audit(sender: Sender, published: number): void {
  const { accepted, delivered, heldEvents } = sender.accounting()
  const settled = sender.name === 'dead' ? heldEvents : delivered
  if (accepted === published && settled === published && sender.imbalance() === 0) return
  throw new Error(`${sender.name}: expected ${published} events, got ${JSON.stringify(sender.accounting())}`)
}

function sdkOf({ endpoint, events }: Extract<Way, { is: 'sdk' }>): Round {
  const line = new Line(recording)
  const cycles = slices(
    chunksOf(recording).flatMap((chunk) => line.take(chunk)),
    1000,
  )
  const json = createJsonEncoder({ nodeName: NODE_NAME })
  return () => sdkPipeline(cycles, events, { ...DEFAULT_RECORDS, endpoint, epoch: EPOCH, json })
}

async function kafkajsOf({ brokers, topic, events }: Extract<Way, { is: 'kafkajs' }>): Promise<Round> {
  guardKafkajs()
  const line = new Line(recording)
  const json = createJsonEncoder({ nodeName: NODE_NAME })
  const all = chunksOf(recording).flatMap((chunk) => line.take(chunk))
  const batches = slices(all.slice(0, events), KAFKA_BATCH).map((batch) => [describe(json.encode(batch), batch)])
  const [run] = await plainKafkajs({ brokers, topic, compression: 'none', nodeName: NODE_NAME, batches })
  const count = Math.min(events, all.length)
  return async () => {
    await run()
    return count
  }
}

function slices<T>(list: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / length) }, (_, i) => list.slice(i * length, (i + 1) * length))
}

async function measured(round: Round): Promise<Cost> {
  const before = process.cpuUsage()
  const startMs = performance.now()
  const events = await round()
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
  process.on('message', () => void measured(round).then((cost) => send({ is: 'cost', cost })))
  send({ is: 'ready' })
}
