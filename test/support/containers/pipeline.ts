/** The exporters that the agent creates from a config, within the test. */
import assert from 'node:assert/strict'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { pino } from 'pino'
import { createFanOut } from '../../../exporters/start.ts'
import type { Event } from '../../../exporters/contract/event.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import type { FanOut, Sender } from '../../../exporters/index.ts'
import { gzip, zstd } from '../../../native/index.ts'

export const NODE_NAME = 'node-1'
export const EPOCH = 'e1'
const AT_ONCE = 200
const DEADLINE_MS = 60_000
const LOOK_MS = 20

export class Pipeline implements AsyncDisposable {
  readonly #fanOut: FanOut
  readonly #eventOf: (seq: number) => Event

  private constructor(fanOut: FanOut, eventOf: (seq: number) => Event) {
    this.#fanOut = fanOut
    this.#eventOf = eventOf
  }

  /** `yaml` is a whole config; `eventOf` makes the event of a number. */
  static async start(yaml: string, eventOf: (seq: number) => Event): Promise<Pipeline> {
    const loaded = loadConfig(yaml, 'test.yaml', {}, () => '')
    assert.ok('config' in loaded, JSON.stringify(loaded))
    const encoders = new EncoderPool(NODE_NAME)
    const context = {
      nodeName: NODE_NAME,
      epoch: EPOCH,
      encoders,
      compressors: { gzip, zstd },
      env: {},
      log: pino({ level: 'silent' }),
    }
    const fanOut = await createFanOut(loaded.config.exporters, context)
    await fanOut.start()
    return new Pipeline(fanOut, eventOf)
  }

  get senders(): readonly Sender[] {
    return this.#fanOut.senders
  }

  /** Events `from` up to `to` (exclusive). */
  async publish(from: number, to: number): Promise<void> {
    for (let seq = from; seq < to; seq += AT_ONCE) {
      const count = Math.min(AT_ONCE, to - seq)
      await this.#fanOut.publish(Array.from({ length: count }, (_, i) => this.#eventOf(seq + i)))
      // Senders run here, as between two reads of the ring.
      await nextTurn()
    }
  }

  /** Until each exporter has delivered this number. */
  delivered(count: number): Promise<void> {
    return this.#until(`has delivered ${count}`, (sender) => sender.accounting().delivered === count)
  }

  /** Until each exporter has noticed that its sink is down. */
  noticed(): Promise<void> {
    return this.#until('notices', (sender) => sender.accounting().state === 'retrying')
  }

  async #until(what: string, holds: (sender: Sender) => boolean): Promise<void> {
    const end = performance.now() + DEADLINE_MS
    while (!this.senders.every(holds)) {
      if (performance.now() > end) {
        const accounting = this.senders.map((sender) => ({ name: sender.name, ...sender.accounting() }))
        throw new Error(`waited ${DEADLINE_MS} ms in vain until each ${what}: ${JSON.stringify(accounting)}`)
      }
      // The sink runs in this process too.
      await pause(LOOK_MS)
    }
  }

  /** Stops; the accounting then contains every event once. */
  async stop(count: number): Promise<void> {
    await this.#fanOut.stop(10_000)
    for (const sender of this.senders) {
      const { accepted, delivered, rejected, dropped } = sender.accounting()
      const gone = [...Object.values(rejected), ...Object.values(dropped)].reduce((sum, events) => sum + events, 0)
      assert.deepEqual([sender.name, accepted, delivered, gone], [sender.name, count, count, 0])
      assert.equal(sender.imbalance(), 0)
    }
  }

  /** Without this the exporter of a failed test would continue to send. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fanOut.stop(0)
  }
}
