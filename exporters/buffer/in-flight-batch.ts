import type { Batch } from '../contract/exporter.ts'
import { batchOf, endOf, slice } from '../contract/encoded.ts'
import type { Held } from './queue.ts'

/** Why something is not taken: `hold` until a person mends it, `failed` as long as this process runs. */
export type Failure = 'none' | 'retrying' | 'hold' | 'failed'

/** Whether trying again soon is of no use. */
export function isStuck(failure: Failure): boolean {
  return failure === 'hold' || failure === 'failed'
}

/** Events and bytes that have just left a flight. */
export interface Sum {
  readonly events: number
  readonly bytes: number
}

const NONE: Sum = { events: 0, bytes: 0 }

/**
 * What is in flight: the parts of one batch that are not yet settled. Shrinks from the head. A flight that came from the
 * spool, or lies there too, has receipts to be given back once nothing of it is left.
 */
export class InFlightBatch {
  #held: readonly Held[]
  readonly #receipts: Receipt[] = []
  /** Why it is not taken, while that is so. */
  failure: Failure = 'none'
  /** How often a person was waited for. */
  holds = 0
  /** How many of its events the sink may have got by the last try. */
  unacknowledged = 0
  /** It holds room of the queue. */
  readonly fromQueue: boolean
  /** Its events lie in memory alone, not in the spool. */
  memoryOnly: boolean

  constructor(held: readonly Held[], receipt?: Receipt) {
    this.#held = held
    this.fromQueue = receipt === undefined
    this.memoryOnly = receipt === undefined
    if (receipt !== undefined) this.owe(receipt)
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

  /** Why it can not be sent before a person mends that; undefined when it can. */
  get problem(): string | undefined {
    return this.#held.find(({ problem }) => problem !== undefined)?.problem
  }

  batch(): Batch {
    return batchOf(this.#held.map(({ part }) => part))
  }

  /** To be given back when the flight ends. */
  owe(receipt: Receipt): void {
    receipt.take()
    this.#receipts.push(receipt)
  }

  /** Nothing of it is left to send: its place in the spool is free. */
  end(): void {
    for (const receipt of this.#receipts.splice(0)) receipt.giveBack()
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

/** Acknowledges what one read of the spool gave, once everybody who got a part of it has given it back. */
export class Receipt {
  #owed = 0
  readonly #ack: () => void

  constructor(ack: () => void) {
    this.#ack = ack
  }

  take(): void {
    this.#owed++
  }

  giveBack(): void {
    if (--this.#owed === 0) this.#ack()
  }
}
