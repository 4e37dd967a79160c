import { batchOf, endOf, slice } from '../contract/encoded.ts'
import type { Batch } from '../contract/exporter.ts'
import type { Token } from './disk/reader.ts'
import type { QueuedPart } from './queue.ts'

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
  #held: readonly QueuedPart[]
  failure: Failure = 'none'
  holds = 0
  /** Events that the sink may have stored in the last try. */
  unacknowledged = 0
  /** Indexes of events that the sink has acknowledged, ascending. They are not sent again, but only first events can be settled at once. */
  acknowledged: readonly number[] = []
  /** The part was sent before: a call that timed out may still read its bytes. */
  sent = false
  /** The part uses space of the queue. */
  readonly fromQueue: boolean
  /** The part's events are not on the disk. */
  memoryOnly: boolean
  /** Tokens of the spool to acknowledge when the batch is settled. */
  readonly tokens: Token[]

  constructor(held: readonly QueuedPart[], token?: Token) {
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

  get held(): readonly QueuedPart[] {
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

  /** Number of events accepted before `ms`, which are the first ones. */
  olderThan(ms: number): number {
    let older = 0
    for (const { part, acceptedMs } of this.#held) {
      if (acceptedMs >= ms) break
      older += part.count
    }
    return older
  }

  /** Removes the first `count` events, or all if there are fewer; splits a part if needed. */
  takeHead(count: number): Sum {
    let left = count
    let bytes = 0
    const rest: QueuedPart[] = []
    for (const held of this.#held) {
      const { part } = held
      const cut = Math.min(left, part.count)
      left -= cut
      bytes += endOf(part, cut)
      if (cut < part.count) rest.push({ ...held, part: slice(part, cut, part.count) })
    }
    this.#held = rest
    const taken = count - left
    if (this.acknowledged.length > 0)
      this.acknowledged = this.acknowledged.map((index) => index - taken).filter((index) => index >= 0)
    return { events: taken, bytes }
  }

  /** Removes the acknowledged events among the first `count`; splits parts if needed. */
  takeAcknowledged(count: number = Infinity): Sum {
    const which = new Set(this.acknowledged.filter((index) => index < count))
    this.acknowledged = this.acknowledged.filter((index) => index >= count).map((index) => index - which.size)
    let bytes = 0
    let first = 0
    const rest: QueuedPart[] = []
    for (const held of this.#held) {
      const { part } = held
      const pieces: QueuedPart[] = []
      for (let from = 0; from < part.count;) {
        const isTaken = which.has(first + from)
        let to = from + 1
        while (to < part.count && which.has(first + to) === isTaken) to++
        if (isTaken) bytes += endOf(part, to) - endOf(part, from)
        else pieces.push({ ...held, part: slice(part, from, to) })
        from = to
      }
      first += part.count
      if (pieces.length > 1) part.memory?.hold(pieces.length - 1)
      rest.push(...pieces)
    }
    this.#held = rest
    return { events: which.size, bytes }
  }
}
