/**
 * Builds batches from waiting events. A batch ends when it is full or its first event has waited long enough. It also ends when the
 * sink is idle and there are enough events for a request.
 */
import { Signal } from '../../config/base/time/clock.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import type { MemoryBuffer } from '../buffer/memory-buffer.ts'
import type { InFlightBatch } from '../buffer/in-flight-batch.ts'
import type { ChainConfig } from './config.ts'

/** Share of a full batch that is enough while nothing is in flight: at 5,000 events/s events then only wait for the ring. */
const ENOUGH = 1 / 8

type Waiting = 'no' | 'for_first' | 'for_full'

export class Batcher {
  readonly #buffer: MemoryBuffer
  readonly #config: ChainConfig['batch']
  readonly #clock: Clock
  readonly #signal: Signal
  #waiting: Waiting = 'no'
  #hurry = false
  #ended = false
  #halted = false
  #cut = false
  #onCut: () => void = () => {}

  constructor(buffer: MemoryBuffer, config: ChainConfig['batch'], clock: Clock) {
    this.#buffer = buffer
    this.#config = config
    this.#clock = clock
    this.#signal = new Signal(clock)
  }

  /** The next batch; undefined once the batcher was halted, or has ended and nothing waits. */
  async next(): Promise<InFlightBatch | undefined> {
    while (!this.#cut && !this.#halted) {
      const sinceMs = this.#buffer.readySinceMs
      if (sinceMs === undefined) {
        if (this.#ended && !this.#buffer.moreComes) return undefined
        await this.#wait('for_first')
        continue
      }
      const leftMs = sinceMs + this.#config.max_wait - this.#clock.nowMs()
      if (!this.#full() && leftMs > 0) {
        await this.#wait('for_full', leftMs)
        continue
      }
      this.#hurry = false
      const batch = await this.#take()
      if (batch !== undefined) return batch
    }
    return undefined
  }

  /** Takes a batch from the buffer; undefined if there was none, or at once after `cut`, because a disk may hang. */
  #take(): Promise<InFlightBatch | undefined> {
    const { max_events, max_bytes } = this.#config
    return new Promise((resolve, reject) => {
      this.#onCut = () => resolve(undefined)
      this.#buffer.next(max_events, max_bytes).then(resolve, reject)
    })
  }

  /** Call after each push, and when nothing is in flight any more. */
  notify(): void {
    if (this.#waiting === 'for_first' || (this.#waiting === 'for_full' && this.#full())) this.#signal.notify()
  }

  /** Sends waiting events without waiting for more. */
  flush(): void {
    this.#hurry = true
    this.#signal.notify()
  }

  /** Ends the input: returns waiting events at once, then nothing. */
  end(): void {
    this.#ended = true
    this.#signal.notify()
  }

  /** Returns no more batches; the buffer's running `next` may still put one in flight. */
  halt(): void {
    this.#halted = true
    this.#signal.notify()
  }

  /** Returns no more batches, even if events wait. */
  cut(): void {
    this.#cut = true
    this.#onCut()
    this.end()
  }

  async #wait(what: Waiting, ms?: number): Promise<void> {
    this.#waiting = what
    await this.#signal.wait(ms)
    this.#waiting = 'no'
  }

  #full(): boolean {
    const share = this.#buffer.inFlight.size === 0 ? ENOUGH : 1
    const { max_events, max_bytes } = this.#config
    return this.#ended || this.#hurry || this.#buffer.hasBatch(max_events * share, max_bytes * share)
  }
}
