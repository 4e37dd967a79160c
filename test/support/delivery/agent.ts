/**
 * The user space of the agent without a kernel: exporters created from a YAML text by the agent's own code, and numbered
 * events published at a rate. A test starts it (child.ts), receives its reports of published events and kills it.
 */
import { pino } from 'pino'
import { createFanOut } from '../../../exporters/start.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import type { FanOut, Sender } from '../../../exporters/index.ts'
import { eventAt } from './events.ts'
import type { ExporterReport, Order, Reports, Message } from './protocol.ts'
import { gzip, zstd } from '../../../native/index.ts'

const NODE_NAME = 'node-1'
const TICK_MS = 10
/** On a machine that is too busy for the rate, events are fewer, not later: a burst would only test the size of queues. */
const MOST_AT_ONCE = 200

class Agent {
  #fanOut: FanOut | undefined
  #ticking: NodeJS.Timeout | undefined
  #seq = 0
  #perSecond = 0
  #lastMs = performance.now()
  #publishing: Promise<void> = Promise.resolve()
  #busy = false

  async obey(order: Order): Promise<void> {
    switch (order.do) {
      case 'run':
        return this.#run(order)
      case 'rate':
        this.#perSecond = order.eventsPerSecond
        return
      case 'stop':
        return this.#stop(order.graceMs)
    }
  }

  async #run({ yaml, epoch, from, eventsPerSecond }: Extract<Order, { do: 'run' }>): Promise<void> {
    const loaded = loadConfig(yaml, 'agent.yaml', {}, () => '')
    if (!('config' in loaded)) throw new Error(JSON.stringify(loaded))
    const encoders = new EncoderPool(NODE_NAME)
    const log = pino({ level: 'silent' })
    const context = { nodeName: NODE_NAME, epoch, encoders, compressors: { gzip, zstd }, env: {}, log }
    this.#fanOut = await createFanOut(loaded.config.exporters, context)
    await this.#fanOut.start()
    void send({ is: 'started', exporters: reportsOf(this.#fanOut) })
    this.#seq = from
    this.#perSecond = eventsPerSecond
    this.#lastMs = performance.now()
    this.#ticking = setInterval(() => {
      if (!this.#busy) this.#publishing = this.#tick()
    }, TICK_MS)
  }

  async #tick(): Promise<void> {
    if (this.#fanOut === undefined) return
    this.#busy = true
    const now = performance.now()
    const due = Math.min(MOST_AT_ONCE, Math.floor(((now - this.#lastMs) * this.#perSecond) / 1000))
    if (due > 0 || this.#perSecond === 0) this.#lastMs = now
    const events = Array.from({ length: due }, (_, i) => eventAt(this.#seq + i, Date.now()))
    await send({ is: 'publishing', to: this.#seq + due })
    await this.#fanOut.publish(events)
    this.#seq += due
    void send({ is: 'report', to: this.#seq, exporters: reportsOf(this.#fanOut) })
    this.#busy = false
  }

  async #stop(graceMs: number): Promise<void> {
    clearInterval(this.#ticking)
    await this.#publishing
    await this.#fanOut?.stop(graceMs)
    if (this.#fanOut !== undefined) void send({ is: 'stopped', exporters: reportsOf(this.#fanOut) })
    process.disconnect()
  }
}

function reportsOf({ senders }: FanOut): Reports {
  return Object.fromEntries(senders.map((sender) => [sender.name, reportOf(sender)]))
}

function reportOf(sender: Sender): ExporterReport {
  const { spool } = sender.stats()
  const accounting = sender.accounting()
  const imbalance = sender.imbalance()
  if (spool === undefined) return { accounting, imbalance, spool }
  const { durable, settled, end, recovered, appended, segments } = spool
  return { accounting, imbalance, spool: { durable, settled, end, recovered, appended, segments } }
}

/** Resolves once the message arrives even if this process is killed now: messages that a busy test has not read wait in this process. */
function send(message: Message): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  // The test may have ended: then this process is about to end too.
  if (process.connected) process.send?.(message, undefined, undefined, () => resolve())
  else resolve()
  return promise
}

function fail(error: unknown): void {
  void send({ is: 'failed', why: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  process.exitCode = 1
  process.disconnect()
}

const agent = new Agent()
process.on('message', (order: Order) => void agent.obey(order).catch(fail))
process.on('unhandledRejection', fail)
process.on('disconnect', () => process.exit())
