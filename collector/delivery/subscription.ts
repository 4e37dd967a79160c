/**
 * A live reader of events; readers come and go:
 *
 *     for await (const { events, lost } of subscription) …
 *
 * Constraints: a reader never slows down the line. What does not fit into its queue is lost for this reader only, which learns how many
 * events that were, and after which event. The queue is bounded in bytes and in events; what the reader has taken no longer counts.
 */
import type { Event } from '../../exporters/contract/event.ts'
import type { EventFilter } from '../../exporters/index.ts'
import { EventSizes } from './event-size.ts'

/** What may wait for the reader. */
export interface SubscriptionBound {
  readonly bytes: number
  readonly events: number
}

/** Events in their order, and how many were lost right after them. */
export interface Taken {
  readonly events: readonly Event[]
  readonly lost: number
}

interface Part {
  readonly events: Event[]
  bytes: number
  lost: number
}

export class Subscription implements AsyncIterable<Taken>, AsyncDisposable {
  readonly #bound: SubscriptionBound
  readonly #filter: EventFilter | undefined
  readonly #onClose: (subscription: Subscription) => void
  /** Waiting; a loss ends a part. */
  #parts: Part[] = []
  readonly #sizes = new EventSizes()
  #bytes = 0
  #count = 0
  #lost = 0
  #ended = false
  #wake: (() => void) | undefined

  /** `onClose`: called once, when nothing is to be put any more. Without a filter it gets all events. */
  constructor(
    bound: SubscriptionBound,
    filter: EventFilter | undefined,
    onClose: (subscription: Subscription) => void = () => {},
  ) {
    this.#bound = bound
    this.#filter = filter
    this.#onClose = onClose
  }

  /** Offers events, in sequence; takes what passes the filter and fits. Nothing after the end. */
  put(events: readonly Event[]): void {
    if (this.#ended) return
    for (const event of events) if (this.#filter?.accepts(event) !== false) this.#put(event)
    if (this.#parts.length > 0) this.#wake?.()
  }

  #put(event: Event): void {
    const size = this.#sizes.of(event)
    const fits = this.#bytes + size <= this.#bound.bytes && this.#count < this.#bound.events
    let part = this.#parts.at(-1)
    // Behind a loss a new part begins, so that the reader knows where the loss was.
    if (part === undefined || (fits && part.lost > 0)) this.#parts.push((part = { events: [], bytes: 0, lost: 0 }))
    if (fits) {
      part.events.push(event)
      part.bytes += size
      this.#bytes += size
      this.#count++
    } else {
      part.lost++
      this.#lost++
      this.#sizes.forget()
    }
  }

  /** Events that passed the filter and did not fit, so far. */
  get lost(): number {
    return this.#lost
  }

  /** What waits now. */
  get waiting(): SubscriptionBound {
    return { bytes: this.#bytes, events: this.#count }
  }

  /** For one reader. Ends when the agent stops, after what waits, or when the subscription is disposed; leaving the loop disposes it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Taken> {
    try {
      for (;;) {
        const part = this.#take()
        if (part !== undefined) yield { events: part.events, lost: part.lost }
        else if (this.#ended) return
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      await this[Symbol.asyncDispose]()
    }
  }

  #take(): Part | undefined {
    const part = this.#parts.shift()
    if (part === undefined) return undefined
    this.#bytes -= part.bytes
    this.#count -= part.events.length
    if (this.#parts.length === 0) this.#sizes.forget()
    return part
  }

  /** No more events come; what waits can still be read. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#onClose(this)
    this.#wake?.()
  }

  /** The reader has gone: what waits is dropped. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts = []
    this.#bytes = this.#count = 0
    this.end()
  }
}
