/** A Kafka exporter as the agent creates it from a config, and events for it. */
import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pino } from 'pino'
import { createFanOut } from '../../../exporters/start.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import type { FanOut } from '../../../exporters/index.ts'
import { gzip, zstd } from '../../../native/index.ts'
import { eventOf, NODE_NAME } from './events.ts'

/** The exporter of a config with one exporter, started. */
export async function started(keys: string, epoch: string): Promise<FanOut> {
  const loaded = loadConfig(`exporters: { bus: { type: kafka, ${keys} } }\n`, 'c.yaml', {}, () => '')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const encoders = new EncoderPool(NODE_NAME)
  const log = pino({ level: 'silent' })
  const fanOut = await createFanOut(loaded.config.exporters, {
    nodeName: NODE_NAME,
    epoch,
    encoders,
    compressors: { gzip, zstd },
    env: {},
    log,
  })
  await fanOut.start()
  return fanOut
}

/** Events `from` up to `to` (exclusive). */
export async function publish(fanOut: FanOut, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += 400) {
    const count = Math.min(400, to - first)
    await fanOut.publish(Array.from({ length: count }, (_, i) => eventOf(first + i)))
    // The sender runs here, as between two reads of the ring.
    await nextTurn()
  }
}
