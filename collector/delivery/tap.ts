/**
 * A live reader of the records that one exporter is offered. It may come and go, and never slows the exporter: records that do not fit into
 * its queue are lost to it alone, and counted.
 */
import type { Encoded } from '../../exporters/index.ts'

/** Bound of one reader's queue. */
const QUEUE_BYTES = 1 << 20

/** Records in order, and the number of records lost before them. */
export interface Tapped {
  readonly encoded: Pick<Encoded, 'encoding' | 'bytes' | 'ends'>
  readonly lost: number
}

export class Tap implements AsyncIterable<Tapped> {
  readonly #queue: Tapped[] = []
  #bytes = 0
  #lost = 0
  #ended = false
  #wake: () => void = () => {}

  /** Copies the records: their memory may be freed when the exporter is done with them. */
  put({ encoding, bytes, ends, count }: Encoded): void {
    if (this.#ended) return
    if (this.#bytes + bytes.length > QUEUE_BYTES) {
      this.#lost += count
      return
    }
    this.#queue.push({
      encoded: { encoding, bytes: new Uint8Array(bytes), ends: ends.slice(0, count) },
      lost: this.#lost,
    })
    this.#lost = 0
    this.#bytes += bytes.length
    this.#wake()
  }

  /** For one loop. Ends after `end`, when the queue is empty. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Tapped> {
    for (;;) {
      const next = this.#queue.shift()
      if (next !== undefined) {
        this.#bytes -= next.encoded.bytes.length
        yield next
      } else if (this.#ended) return
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  end(): void {
    this.#ended = true
    this.#wake()
  }
}
