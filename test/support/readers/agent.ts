/**
 * The user space of an agent with its API, in a process of its own: a recording is played through source, decode, normalize, delivery and
 * exporters, made from YAML by the agent's own code, at a rate that may change. argv: the config.
 */
import { pino } from 'pino'
import { Api } from '../../../collector/api/api.ts'
import { Delivery } from '../../../collector/delivery/delivery.ts'
import { LostRanges } from '../../../collector/delivery/lost-ranges.ts'
import { collectGarbage } from '../../../collector/host/idle-memory.ts'
import { Announcements } from '../../../collector/identity/announced.ts'
import { chunks } from '../../../collector/ingest/source.ts'
import { configOrThrow } from '../../../config/agent/check.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import type { Accounting } from '../../../exporters/contract/accounting.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import { createFanOut } from '../../../exporters/start.ts'
import { gzip, zstd } from '../../../native/index.ts'
import { Line, NODE_NAME, RecordedRing } from '../../bench/support/replay.ts'
import { kernel as facts } from '../../unit/collector/support/facts.ts'
import { memoryOf } from '../memory.ts'
import { endingAt, loadRecording } from '../recording/recording.ts'
import { synthesize } from '../recording/synthetic.ts'

/** Each is answered by a Sample. */
export type Order =
  | { readonly do: 'sample' }
  /** Collects garbage first. */
  | { readonly do: 'collect' }
  /** Events per second from now on; null is as fast as the exporters accept them. */
  | { readonly do: 'rate'; readonly perSecond: number | null }
  /** Delivers what is held; the last one. */
  | { readonly do: 'stop' }

export interface Sample {
  readonly published: number
  readonly accounting: Readonly<Record<string, Accounting & { readonly imbalance: number }>>
  readonly readers: { readonly present: number; readonly sent: number; readonly lost: number }
  /** User and system, since the start. */
  readonly cpuMs: number
  readonly privateBytes: number
  /** The longest time without a turn of the event loop since the last sample. */
  readonly blockedMs: number
}

/** As the agent's ring by default. */
const MAX_DELAY_MS = 50
const SYNTHETIC_RECORDS = 60_000
const STOP_MS = 30_000
const LOOK_MS = 10

const recording = endingAt(loadRecording() ?? synthesize(SYNTHETIC_RECORDS), Date.now())
const { config } = configOrThrow(loadConfig(process.argv[2] ?? '', 'readers.yaml', {}))
const log = pino({ level: 'warn' }, pino.destination(2))
const encoding = { encoders: new EncoderPool(NODE_NAME), compressors: { gzip, zstd } }
const context = { nodeName: NODE_NAME, epoch: 'readers', ...encoding, env: {}, log }
const fanout = await createFanOut(config.exporters, context)
await fanout.start()
const delivery = new Delivery(fanout, new LostRanges('readers'), context)
const line = new Line(recording)
const noKernel = (): Promise<never> => Promise.reject(new Error('there is no kernel here'))
const api = new Api({
  delivery,
  ingest: { now: () => ({ sec: Math.floor(Date.now() / 1000), nsec: 0 }), processes: line.table },
  policies: { list: () => [], add: noKernel, remove: noKernel, enable: noKernel, disable: noKernel },
  announced: new Announcements(),
  nodeName: NODE_NAME,
  config,
  facts: facts(6, 12),
  log,
  ready: () => true,
})
await api.serve()

const stopping = new AbortController()
let published = 0
let rate = { perSecond: 0, sinceMs: performance.now(), from: 0 }

function due(): number {
  if (stopping.signal.aborted) return 0
  if (rate.perSecond === Infinity) return Infinity
  return rate.from + Math.floor(((performance.now() - rate.sinceMs) * rate.perSecond) / 1000) - published
}

async function pump(): Promise<void> {
  const ring = new RecordedRing(recording.bytes, Infinity, () => line.pass(recording.spanMs), due)
  const watch = (): Disposable => ({ [Symbol.dispose]: () => {} })
  const source = { ring, watch, maxDelayMs: MAX_DELAY_MS, watermarkBytes: 0, polls: () => true }
  for await (const chunk of chunks(source, stopping.signal)) {
    const events = line.take(chunk)
    published += events.length
    const wait = delivery.publish(events)
    if (wait !== undefined) await wait
  }
}

let blockedMs = 0
let lookedMs = performance.now()
setInterval(() => {
  const now = performance.now()
  blockedMs = Math.max(blockedMs, now - lookedMs - LOOK_MS)
  lookedMs = now
}, LOOK_MS)

function sample(): Sample {
  const { user, system } = process.cpuUsage()
  const { count: present, events } = api.readers
  const taken = blockedMs
  blockedMs = 0
  return {
    published,
    accounting: Object.fromEntries(
      fanout.senders.map((sender) => [sender.name, { ...sender.accounting(), imbalance: sender.imbalance() }]),
    ),
    readers: { present, ...events },
    cpuMs: (user + system) / 1000,
    privateBytes: memoryOf('self').privateBytes,
    blockedMs: taken,
  }
}

async function obey(order: Order): Promise<void> {
  switch (order.do) {
    case 'sample':
      break
    case 'collect':
      await collectGarbage(true)
      break
    case 'rate':
      rate = { perSecond: order.perSecond ?? Infinity, sinceMs: performance.now(), from: published }
      break
    case 'stop':
      stopping.abort()
      await pumping
      await delivery.stop(STOP_MS)
      await api[Symbol.asyncDispose]()
  }
  process.send?.(sample())
  if (order.do === 'stop') process.disconnect()
}

const pumping = pump()
process.on('message', (order: Order) => void obey(order))
process.on('disconnect', () => process.exit())
process.send?.(sample())
