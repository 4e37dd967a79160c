/**
 * A live reader of events, which may come and go:
 *
 *     for await (const { events, lost } of subscription) …
 *
 * Constraints: a reader never blocks others. Its queue is bounded in bytes and events; events that do not fit are lost for this reader only,
 * and it learns how many and after which event. Events that the reader has taken no longer count.
 */
import type { Event } from '../../exporters/contract/event.ts'
import { EventSizes } from '../../exporters/index.ts'
import type { EventFilter } from '../../exporters/index.ts'

export type LiveFilter = Pick<EventFilter, 'accepts'>

/** Bounds of the queue. */
export interface SubscriptionBound {
  readonly bytes: number
  readonly events: number
}

/** Events in order, and the number of events lost right after them. */
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
  readonly #filter: LiveFilter | undefined
  readonly #onClose: (subscription: Subscription) => void
  /** The queue; a loss ends a part. */
  #parts: Part[] = []
  readonly #sizes = new EventSizes()
  #bytes = 0
  #count = 0
  /** Events that passed the filter and did not fit. */
  lost = 0
  /** An event did not fit, and the reader has taken nothing since. */
  #full = false
  #ended = false
  #wake: (() => void) | undefined

  /** `onClose`: called once, when no more events are accepted. Without a filter the reader gets all events. */
  constructor(
    bound: SubscriptionBound,
    filter: LiveFilter | undefined,
    onClose: (subscription: Subscription) => void = () => {},
  ) {
    this.#bound = bound
    this.#filter = filter
    this.#onClose = onClose
  }

  /** Queues the events that pass the filter and fit. Does nothing after the end. */
  put(events: readonly Event[]): void {
    if (this.#ended) return
    for (const event of events) if (this.#filter?.accepts(event) !== false) this.#put(event)
    if (this.#parts.length > 0) this.#wake?.()
  }

  #put(event: Event): void {
    // Measuring an event reads its arguments, which takes longer than encoding it for an exporter.
    const size = this.#full ? Infinity : this.#sizes.of(event)
    const fits = this.#bytes + size <= this.#bound.bytes && this.#count < this.#bound.events
    let part = this.#parts.at(-1)
    // A new part begins after a loss, so that the reader learns the place of the loss.
    if (part === undefined || (fits && part.lost > 0)) this.#parts.push((part = { events: [], bytes: 0, lost: 0 }))
    if (fits) {
      part.events.push(event)
      part.bytes += size
      this.#bytes += size
      this.#count++
    } else {
      part.lost++
      this.lost++
      this.#full ||= size <= this.#bound.bytes
      this.#sizes.forget()
    }
  }

  /** Size of the queue. */
  get waiting(): SubscriptionBound {
    return { bytes: this.#bytes, events: this.#count }
  }

  /** For one loop. Ends when the agent has stopped and the queue is empty, or when disposed; leaving the loop disposes the subscription. */
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
    this.#full = false
    this.#bytes -= part.bytes
    this.#count -= part.events.length
    if (this.#parts.length === 0) this.#sizes.forget()
    return part
  }

  /** No more events come; queued events can still be read. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#onClose(this)
    this.#wake?.()
  }

  /** Drops queued events. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts = []
    this.#bytes = this.#count = 0
    this.end()
  }
}
