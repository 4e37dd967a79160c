/**
 * Makes batches of what waits in a queue: as soon as one is full, or when its first event has waited long enough.
 * Pulled by the sender; `notify` tells it that the queue has grown.
 */
import { Bell } from './clock.ts'
import type { Clock } from './clock.ts'
import type { SenderOptions } from './options.ts'
import type { Held, Queue } from './queue.ts'

type Waiting = 'no' | 'for_first' | 'for_full'

export class Batcher {
  readonly #queue: Queue
  readonly #options: SenderOptions['batch']
  readonly #clock: Clock
  readonly #bell: Bell
  #waiting: Waiting = 'no'
  #hurry = false
  #ended = false

  constructor(queue: Queue, options: SenderOptions['batch'], clock: Clock) {
    this.#queue = queue
    this.#options = options
    this.#clock = clock
    this.#bell = new Bell(clock)
  }

  /** The next batch's parts, moved to in flight; empty once the batcher has ended and nothing waits. */
  async next(): Promise<Held[]> {
    const queue = this.#queue
    while (queue.waitingEvents === 0) {
      if (this.#ended) return []
      this.#waiting = 'for_first'
      await this.#bell.wait()
    }
    const until = (queue.oldestMs ?? 0) + this.#options.maxWaitMs
    for (;;) {
      const left = until - this.#clock.nowMs()
      if (this.#full() || left <= 0) break
      this.#waiting = 'for_full'
      await this.#bell.wait(left)
    }
    this.#waiting = 'no'
    this.#hurry = false
    return queue.take(this.#options.maxEvents, this.#options.maxBytes)
  }

  /** Call after each push. */
  notify(): void {
    if (this.#waiting === 'for_first' || (this.#waiting === 'for_full' && this.#full())) this.#ring()
  }

  /** Sends what there is without waiting for more: somebody waits for room. */
  flush(): void {
    this.#hurry = true
    this.#ring()
  }

  /** No more will come: what waits is handed out at once, then nothing. */
  end(): void {
    this.#ended = true
    this.#ring()
  }

  #ring(): void {
    this.#waiting = 'no'
    this.#bell.ring()
  }

  #full(): boolean {
    const { waitingEvents, waitingBytes } = this.#queue
    const { maxEvents, maxBytes } = this.#options
    return this.#ended || this.#hurry || waitingEvents >= maxEvents || waitingBytes >= maxBytes
  }
}
