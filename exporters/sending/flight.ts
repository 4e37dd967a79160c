import type { Batch } from '../exporter.ts'
import { batchOf, endOf, slice } from './encoded.ts'
import type { Held } from './queue.ts'

/** Events and bytes that have just left a flight. */
export interface Sum {
  readonly events: number
  readonly bytes: number
}

const NONE: Sum = { events: 0, bytes: 0 }

/** What is in flight: the parts of one batch that are not yet settled. Shrinks from the head. */
export class Flight {
  #held: readonly Held[]

  constructor(held: readonly Held[]) {
    this.#held = held
  }

  get count(): number {
    return this.#held.reduce((sum, { part }) => sum + part.count, 0)
  }

  batch(): Batch {
    return batchOf(this.#held.map(({ part }) => part))
  }

  takeAll(): Sum {
    const { count, sizeBytes } = this.batch()
    this.#held = []
    return { events: count, bytes: sizeBytes }
  }

  /** Removes the parts accepted before `ms`: time only grows along the queue, so they are at the head. */
  takeOlder(ms: number): Sum {
    const young = this.#held.findIndex(({ acceptedMs }) => acceptedMs >= ms)
    if (young === 0) return NONE
    if (young < 0) return this.takeAll()
    const { count, sizeBytes } = batchOf(this.#held.slice(0, young).map(({ part }) => part))
    this.#held = this.#held.slice(young)
    return { events: count, bytes: sizeBytes }
  }

  /** Removes the first `count` events, cutting a part in two where needed; at most all of them. */
  takeHead(count: number): Sum {
    let left = count
    let bytes = 0
    const rest: Held[] = []
    for (const held of this.#held) {
      const { part } = held
      const cut = Math.min(left, part.count)
      left -= cut
      bytes += endOf(part, cut)
      if (cut < part.count) rest.push({ ...held, part: slice(part, cut, part.count) })
    }
    this.#held = rest
    return { events: count - left, bytes }
  }
}
