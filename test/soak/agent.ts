/**
 * The user space of the agent under a steady load: a recording is replayed at a rate through source, decode, normalize and fan-out,
 * the exporters created from YAML by the agent's own code. Reports its memory and its accounting every few seconds.
 */
import { flushCompileCache } from 'node:module'
import { pino } from 'pino'
// Not used: loads every module of the agent, so that the memory is that of the agent.
import '../../collector/agent.ts'
import type { ProcessEvent, Timestamp } from '../../exporters/contract/event.ts'
import { createFanOut } from '../../exporters/start.ts'
import { chunks } from '../../collector/ingest/source.ts'
import { loadConfig } from '../../config/agent/load.ts'
import { EncoderPool } from '../../exporters/index.ts'
import type { FanOut } from '../../exporters/index.ts'
import { Line, NODE_NAME, RecordedRing } from '../bench/support/replay.ts'
import { memoryOf } from '../support/memory.ts'
import { endingAt, loadRecording } from '../support/recording/recording.ts'
import { synthesize } from '../support/recording/synthetic.ts'
import { NUMBERS } from './file-reader.ts'
import type { Order, Sample, Message } from './protocol.ts'
import { gzip, zstd } from '../../native/index.ts'

const SAMPLE_MS = 5000
/** As the agent's ring by default. */
const MAX_DELAY_MS = 50
const SYNTHETIC_RECORDS = 60_000

class Agent {
  readonly #pausing = new AbortController()
  readonly #startMs = performance.now()
  readonly #fanOut: FanOut
  #published = 0
  readonly #pumping: Promise<void>
  readonly #sampling: NodeJS.Timeout

  private constructor(fanOut: FanOut, eventsPerSecond: number) {
    this.#fanOut = fanOut
    this.#pumping = this.#pump(eventsPerSecond)
    this.#sampling = setInterval(() => send({ is: 'sample', sample: this.#sample() }), SAMPLE_MS)
  }

  static async start({ yaml, epoch, eventsPerSecond }: Extract<Order, { do: 'run' }>): Promise<Agent> {
    const loaded = loadConfig(yaml, 'soak.yaml', {}, () => '')
    if (!('config' in loaded)) throw new Error(JSON.stringify(loaded))
    const encoders = new EncoderPool(NODE_NAME)
    const log = pino({ level: 'error' }, pino.destination(2))
    const context = { nodeName: NODE_NAME, epoch, encoders, compressors: { gzip, zstd }, env: {}, log }
    const fanOut = await createFanOut(loaded.config.exporters, context)
    await fanOut.start()
    return new Agent(fanOut, eventsPerSecond)
  }

  pause(): Promise<void> {
    this.#pausing.abort()
    return this.#pumping
  }

  async stop(graceMs: number): Promise<void> {
    await this.pause()
    await this.#fanOut.stop(graceMs)
    clearInterval(this.#sampling)
    send({ is: 'stopped', sample: this.#sample() })
    process.disconnect()
  }

  async #pump(perSecond: number): Promise<void> {
    const recording = endingAt(loadRecording() ?? synthesize(SYNTHETIC_RECORDS), Date.now())
    const line = new Line(recording)
    const { signal } = this.#pausing
    const startMs = performance.now()
    const due = (): number => {
      if (signal.aborted) return 0
      return Math.floor(((performance.now() - startMs) * perSecond) / 1000) - this.#published
    }
    const ring = new RecordedRing(recording.bytes, Infinity, () => line.pass(recording.spanMs), due)
    const watch = (): Disposable => ({ [Symbol.dispose]: () => {} })
    const source = { ring, watch, maxDelayMs: MAX_DELAY_MS, watermarkBytes: 0, polls: () => true }
    for await (const chunk of chunks(source, signal)) {
      const events = line.take(chunk)
      stamp(events, Date.now())
      this.#published += events.length
      const wait = this.#fanOut.publish(events)
      if (wait !== undefined) await wait
    }
  }

  #sample(): Sample {
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
    const { user, system } = process.cpuUsage()
    return {
      seconds: (performance.now() - this.#startMs) / 1000,
      memory: { rss, private: memoryOf('self').privateBytes, heapUsed, external, arrayBuffers },
      cpuSeconds: (user + system) / 1e6,
      published: this.#published,
      accounting: Object.fromEntries(
        this.#fanOut.senders.map((sender) => [sender.name, { ...sender.accounting(), imbalance: sender.imbalance() }]),
      ),
    }
  }
}

/** The current time, with the number as its digits below the millisecond: Tetragon's JSON has no field for a number. */
function stamp(events: readonly ProcessEvent[], nowMs: number): void {
  const sec = Math.floor(nowMs / 1000)
  const nsec = (nowMs % 1000) * NUMBERS
  for (const event of events) {
    const stamped: { time: Timestamp } = event
    stamped.time = { sec, nsec: nsec + (event.seq % NUMBERS) }
  }
}

function send(message: Message): void {
  process.send?.(message)
}

let agent: Agent | undefined

async function obey(order: Order): Promise<void> {
  switch (order.do) {
    case 'run':
      agent = await Agent.start(order)
      return
    case 'pause':
      return agent?.pause()
    case 'stop':
      if (agent === undefined) process.disconnect()
      return agent?.stop(order.graceMs)
  }
}

process.on('message', (order: Order) => void obey(order))
process.on('disconnect', () => process.exit())
// What a config brings in.
await import('../../exporters/sinks/otlp/make.ts')
flushCompileCache()
send({ is: 'loaded' })
