import { batchOf, endOf, slice } from '../contract/encoded.ts'
import type { Batch } from '../contract/exporter.ts'
import type { Token } from './disk/reader.ts'
import type { Held } from './queue.ts'

/** Why something is not taken: `hold` until somebody acts, `failed` as long as this process runs. */
export type Failure = 'none' | 'retrying' | 'hold' | 'failed'

/** Whether trying again soon is of no use. */
export function isStuck(failure: Failure): boolean {
  return failure === 'hold' || failure === 'failed'
}

/** Events and bytes. */
export interface Sum {
  readonly events: number
  readonly bytes: number
}

/** The parts of one batch that are not yet settled. Shrinks from the head. */
export class InFlightBatch {
  #held: readonly Held[]
  /** Why it is not taken, while that is so. */
  failure: Failure = 'none'
  /** How often manual action was waited for. */
  holds = 0
  /** How many of its events the sink may have got by the last try. */
  unacknowledged = 0
  /** It holds room of the queue. */
  readonly fromQueue: boolean
  /** Its events lie in memory alone, not on the disk. */
  memoryOnly: boolean
  /** What of the disk is free when nothing of it is left. */
  readonly tokens: Token[]

  constructor(held: readonly Held[], token?: Token) {
    this.#held = held
    this.fromQueue = token === undefined
    this.memoryOnly = token === undefined
    this.tokens = token === undefined ? [] : [token]
  }

  get count(): number {
    return this.#held.reduce((sum, { part }) => sum + part.count, 0)
  }

  /** When the oldest of its events came; undefined when none is left. */
  get oldestMs(): number | undefined {
    return this.#held[0]?.acceptedMs
  }

  get held(): readonly Held[] {
    return this.#held
  }

  /** Why it can not be sent before somebody acts; undefined when it can. */
  get problem(): string | undefined {
    return this.#held.find(({ problem }) => problem !== undefined)?.problem
  }

  batch(): Batch {
    return batchOf(this.#held.map(({ part }) => part))
  }

  takeAll(): Sum {
    return this.takeHead(this.count)
  }

  /** Removes the parts accepted before `ms`: time only grows along the queue, so they are at the head. */
  takeOlder(ms: number): Sum {
    let older = 0
    for (const { part, acceptedMs } of this.#held) {
      if (acceptedMs >= ms) break
      older += part.count
    }
    return this.takeHead(older)
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
