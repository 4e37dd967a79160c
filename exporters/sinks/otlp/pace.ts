import type { Batch } from '../../contract/exporter.ts'
import { spanOf } from '../../contract/encoded.ts'

/** After so many 429s in a row the batch may exceed the sink's burst and could never pass (docs/reference/loki.md). */
const PATIENCE = 3
/** Maximum number of batches remembered; expired ones are never sent again. */
const MAX_REMEMBERED = 64

interface Turned {
  times: number
  maxEvents: number
}

/**
 * Maximum events per request: the whole batch, or fewer after repeated 429s for that batch. A batch is identified by its last
 * event, which stays the same while the first ones are settled.
 */
export class Pace {
  readonly #turned = new Map<number, Turned>()

  maxEvents(batch: Batch): number {
    return this.#turned.get(lastOf(batch))?.maxEvents ?? Number.POSITIVE_INFINITY
  }

  /** A request with `events` of the batch got a 429. */
  throttled(batch: Batch, events: number): void {
    const last = lastOf(batch)
    const turned = this.#turned.get(last) ?? { times: 0, maxEvents: Number.POSITIVE_INFINITY }
    if (++turned.times % PATIENCE === 0) turned.maxEvents = Math.max(1, Math.floor(events / 2))
    this.#turned.set(last, turned)
    const [oldest] = this.#turned.keys()
    if (this.#turned.size > MAX_REMEMBERED && oldest !== undefined) this.#turned.delete(oldest)
  }

  /** A request of the batch got another response. */
  answered(batch: Batch): void {
    const turned = this.#turned.get(lastOf(batch))
    if (turned !== undefined) turned.times = 0
  }

  /** The whole batch is settled. */
  settled(batch: Batch): void {
    this.#turned.delete(lastOf(batch))
  }
}

function lastOf(batch: Batch): number {
  return spanOf(batch)?.lastSeq ?? 0
}
