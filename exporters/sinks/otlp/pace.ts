import type { Batch } from '../../contract/exporter.ts'
import { spanOf } from '../../contract/encoded.ts'

/** Consecutive 429s after which the batch is taken to be larger than the sink's burst, which never passes (docs/reference/loki.md). */
const PATIENCE = 3
/** Batches that are remembered. One that is never sent again (it expired) must not stay for ever. */
const MAX_REMEMBERED = 64

interface Turned {
  times: number
  maxEvents: number
}

/**
 * How many events go in one request: all of a batch, or fewer after the sink has turned that batch down again and again.
 * A batch is known by its last event, which stays the same while its head is taken.
 */
export class Pace {
  readonly #turned = new Map<number, Turned>()

  maxEvents(batch: Batch): number {
    return this.#turned.get(lastOf(batch))?.maxEvents ?? Number.POSITIVE_INFINITY
  }

  /** A request with `events` of the batch was answered 429. */
  throttled(batch: Batch, events: number): void {
    const last = lastOf(batch)
    const turned = this.#turned.get(last) ?? { times: 0, maxEvents: Number.POSITIVE_INFINITY }
    if (++turned.times % PATIENCE === 0) turned.maxEvents = Math.max(1, Math.floor(events / 2))
    this.#turned.set(last, turned)
    const [oldest] = this.#turned.keys()
    if (this.#turned.size > MAX_REMEMBERED && oldest !== undefined) this.#turned.delete(oldest)
  }

  /** A request of the batch was answered in another way. */
  answered(batch: Batch): void {
    const turned = this.#turned.get(lastOf(batch))
    if (turned !== undefined) turned.times = 0
  }

  /** All of the batch is settled. */
  settled(batch: Batch): void {
    this.#turned.delete(lastOf(batch))
  }
}

function lastOf(batch: Batch): number {
  return spanOf(batch)?.lastSeq ?? 0
}
