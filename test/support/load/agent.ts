/**
 * The real agent under a load, in a process of its own: its kernel plays a recording, at a rate that may change. argv: a folder for its files, and
 * keys of its config.
 */
import { flushCompileCache } from 'node:module'
import { collectGarbage } from '../../../collector/host/heap.ts'
import type { MetricsPage } from '../../e2e/support/metrics.ts'
import { RecordedAgent } from '../kernel/recorded.ts'
import { memoryOf } from '../memory.ts'
import { loadRecording } from '../recording/recording.ts'
import { synthesize } from '../recording/synthetic.ts'

/** Each is answered, `rate` by null and the others by a Sample. */
export type Order =
  | { readonly do: 'sample' }
  /** Collects garbage first. */
  | { readonly do: 'collect' }
  /** Records per second from now on; null is as fast as the exporters accept them. */
  | { readonly do: 'rate'; readonly perSecond: number | null }
  /** Delivers the held events; the last order. The sample is taken just before. */
  | { readonly do: 'stop' }

/** Counts of an exporter. */
export type Counts = Readonly<Record<'accepted' | 'delivered' | 'dropped' | 'rejected' | 'held' | 'imbalance', number>>

/** The agent at one moment. */
export interface Sample {
  /** Seconds since the start of the process. */
  readonly seconds: number
  /** Bytes. `private` is the part of `rss` that is no page of a file. */
  readonly memory: Readonly<Record<'rss' | 'private' | 'heapUsed' | 'external' | 'arrayBuffers', number>>
  /** User and system, since the start. */
  readonly cpuMs: number
  /** The longest time without a turn of the event loop since the last sample. */
  readonly blockedMs: number
  /** Events. */
  readonly published: number
  readonly accounting: Readonly<Record<string, Counts>>
  readonly readers: { readonly present: number; readonly sent: number; readonly lost: number }
  /** Why the agent did not stop well. */
  readonly failure?: string
}

/** Default of `ring.max_delay`. */
const MAX_DELAY_MS = 50
const SYNTHETIC_RECORDS = 60_000
const LOOK_MS = 10
const REJECTED = 'ktrail_exporter_rejected_events_total'

const [, , folder = '', yaml = ''] = process.argv
let rate = { perSecond: 0, sinceMs: performance.now(), from: 0 }

const due = (records: number): number =>
  rate.perSecond === Infinity
    ? Infinity
    : rate.from + Math.floor(((performance.now() - rate.sinceMs) * rate.perSecond) / 1000) - records

const recording = loadRecording() ?? synthesize(SYNTHETIC_RECORDS)
const played = await RecordedAgent.start({ folder, yaml, recording, due })

function setRate(perSecond: number): void {
  rate = { perSecond, sinceMs: performance.now(), from: played.kernel.ring.records }
  played.kernel.wake()
}
// The ring's watermark is no part of a recording.
setInterval(() => played.kernel.wake(), MAX_DELAY_MS)

let blockedMs = 0
let lookedMs = performance.now()
setInterval(() => {
  const now = performance.now()
  blockedMs = Math.max(blockedMs, now - lookedMs - LOOK_MS)
  lookedMs = now
}, LOOK_MS)

function countsOf(page: MetricsPage, exporter: string): Counts {
  const sum = (name: string): number => page.sum(name, { exporter })
  const events = (what: string): number => sum(`ktrail_exporter_${what}`)
  return {
    accepted: events('accepted_events_total'),
    delivered: events('delivered_events_total'),
    dropped: events('dropped_events_total'),
    // Has no sample until an event is rejected.
    rejected: page.labels(REJECTED, 'exporter').includes(exporter) ? sum(REJECTED) : 0,
    held: events('held_events'),
    imbalance: sum('ktrail_accounting_imbalance_events'),
  }
}

async function sample(): Promise<Sample> {
  const page = await played.metrics()
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const taken = blockedMs
  blockedMs = 0
  const accounting = Object.fromEntries(
    page.labels('ktrail_exporter_accepted_events_total', 'exporter').map((name) => [name, countsOf(page, name)]),
  )
  return {
    seconds: process.uptime(),
    memory: { rss, private: memoryOf('self').privateBytes, heapUsed, external, arrayBuffers },
    cpuMs: (user + system) / 1000,
    blockedMs: taken,
    published: Math.max(...Object.values(accounting).map(({ accepted }) => accepted)),
    accounting,
    readers: {
      present: page.sum('ktrail_api_readers'),
      sent: page.sum('ktrail_api_sent_events_total'),
      lost: page.sum('ktrail_api_lost_events_total'),
    },
  }
}

async function stopped(): Promise<Sample> {
  const last = await sample()
  const { droppedAtStop } = await played.agent.stop()
  return droppedAtStop === 0 ? last : { ...last, failure: `${droppedAtStop} events were dropped at the stop` }
}

async function obey(order: Order): Promise<Sample | null> {
  switch (order.do) {
    case 'rate':
      setRate(order.perSecond ?? Infinity)
      return null
    case 'stop':
      return stopped()
    case 'collect':
      await collectGarbage(true)
      return sample()
    case 'sample':
      return sample()
  }
}

process.on('message', (order: Order) => {
  void obey(order).then((answer) => {
    process.send?.(answer)
    if (order.do === 'stop') process.disconnect()
  })
})
process.on('disconnect', () => process.exit())
flushCompileCache()
process.send?.(null)
