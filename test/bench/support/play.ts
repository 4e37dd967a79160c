/** Plays a recording through the agent's own pipeline: source, decode, normalize, fan-out. */
import { chunks } from '../../../collector/ingest/source.ts'
import type { FanOut } from '../../../exporters/index.ts'
import type { Recording } from '../../support/recording/recording.ts'
import { RecordedRing } from '../../support/recording/ring.ts'
import { Line } from './replay.ts'

const MAX_DELAY_MS = 50

/** Plays it `rounds` times, as fast as `fanout` accepts it; returns the number of events. Does not stop `fanout`. */
export async function play(recording: Recording, rounds: number, fanout: FanOut): Promise<number> {
  const stage = new Line(recording)
  const stopping = new AbortController()
  const ring = new RecordedRing(recording.bytes, { rounds, onRound: () => stage.pass(recording.spanMs) })
  const watch = (): Disposable => ({ [Symbol.dispose]: () => {} })
  const onEmpty = (): void => stopping.abort()
  let published = 0
  const source = { ring, watch, maxDelayMs: MAX_DELAY_MS, watermarkBytes: 0, onEmpty }
  for await (const chunk of chunks(source, stopping.signal)) {
    const events = stage.take(chunk)
    published += events.length
    const wait = fanout.publish(events)
    if (wait !== undefined) await wait
  }
  return published
}
