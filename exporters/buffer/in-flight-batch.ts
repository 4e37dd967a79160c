import { batchOf, endOf, slice } from '../contract/encoded.ts'
import type { Batch } from '../contract/exporter.ts'
import type { Token } from './disk/reader.ts'
import type { Held } from './queue.ts'

/** `hold` needs manual action; `failed` cannot recover in this process. */
export type Failure = 'none' | 'retrying' | 'hold' | 'failed'

/** Whether a retry soon is useless. */
export function isStuck(failure: Failure): boolean {
  return failure === 'hold' || failure === 'failed'
}

export interface Sum {
  readonly events: number
  readonly bytes: number
}

/** The unsettled parts of a batch. Events are removed from its start. */
export class InFlightBatch {
  #held: readonly Held[]
  failure: Failure = 'none'
  /** Number of holds so far. */
  holds = 0
  /** Events that the sink may have stored in the last try. */
  unacknowledged = 0
  /** It was sent before: a call that timed out may still read its bytes. */
  sent = false
  /** It uses space of the queue. */
  readonly fromQueue: boolean
  /** Its events are not on the disk. */
  memoryOnly: boolean
  /** Tokens of the spool to acknowledge when the batch is settled. */
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

  /** Acceptance time of its oldest event; undefined if empty. */
  get oldestMs(): number | undefined {
    return this.#held[0]?.acceptedMs
  }

  get held(): readonly Held[] {
    return this.#held
  }

  /** Why it cannot be sent without manual action; undefined if it can. */
  get problem(): string | undefined {
    return this.#held.find(({ problem }) => problem !== undefined)?.problem
  }

  batch(): Batch {
    return batchOf(this.#held.map(({ part }) => part))
  }

  takeAll(): Sum {
    return this.takeHead(this.count)
  }

  /** Removes the parts accepted before `ms`, which are the first ones. */
  takeOlder(ms: number): Sum {
    let older = 0
    for (const { part, acceptedMs } of this.#held) {
      if (acceptedMs >= ms) break
      older += part.count
    }
    return this.takeHead(older)
  }

  /** Removes the first `count` events, or all if there are fewer; splits a part if needed. */
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
