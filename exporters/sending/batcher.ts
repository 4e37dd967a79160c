/**
 * Makes batches of what waits in the buffer: as soon as one is full, when its first event has waited long
 * enough, or when the sink has nothing to do and there is enough to be worth a request. Pulled by the sender; `notify` tells it that
 * something has come.
 */
import { Signal } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Buffer } from '../buffer/buffer.ts'
import type { InFlightBatch } from '../buffer/in-flight-batch.ts'
import type { ChainConfig } from './config.ts'

/** So much of a full batch is enough while nothing is under way: at 5,000 events/s they then wait for the ring, not for each other. */
const ENOUGH = 1 / 8

type Waiting = 'no' | 'for_first' | 'for_full'

export class Batcher {
  readonly #buffer: Buffer
  readonly #config: ChainConfig['batch']
  readonly #clock: Clock
  readonly #signal: Signal
  #waiting: Waiting = 'no'
  #hurry = false
  #ended = false
  #cut = false
  #onCut: () => void = () => {}

  constructor(buffer: Buffer, config: ChainConfig['batch'], clock: Clock) {
    this.#buffer = buffer
    this.#config = config
    this.#clock = clock
    this.#signal = new Signal(clock)
  }

  /** The next batch; undefined once the batcher has ended and nothing waits. */
  async next(): Promise<InFlightBatch | undefined> {
    while (!this.#cut) {
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

  /** From the buffer; undefined when there was none, and as soon as the batcher is cut: a disk may hang. */
  #take(): Promise<InFlightBatch | undefined> {
    const { max_events, max_bytes } = this.#config
    return new Promise((resolve, reject) => {
      this.#onCut = () => resolve(undefined)
      this.#buffer.next(max_events, max_bytes).then(resolve, reject)
    })
  }

  /** Call after each push, and when nothing is under way any more. */
  notify(): void {
    if (this.#waiting === 'for_first' || (this.#waiting === 'for_full' && this.#full())) this.#signal.notify()
  }

  /** Sends what there is without waiting for more. */
  flush(): void {
    this.#hurry = true
    this.#signal.notify()
  }

  /** No more will come: what waits is handed out at once, then nothing. */
  end(): void {
    this.#ended = true
    this.#signal.notify()
  }

  /** Nothing is handed out any more, whatever waits. */
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
