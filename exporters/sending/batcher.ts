/**
 * Makes batches of what waits, first in the queue, then in the spool: as soon as one is full, when its first event has waited long
 * enough, or when the sink has nothing to do and there is enough to be worth a request. Pulled by the sender; `notify` tells it that
 * something has come.
 */
import { Signal } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import { InFlightBatch } from '../buffer/in-flight-batch.ts'
import type { ChainConfig } from './config.ts'
import type { Overflow } from '../buffer/overflow.ts'
import type { Queue } from '../buffer/queue.ts'

/** So much of a full batch is enough while nothing is under way: at 5,000 events/s they then wait for the ring, not for each other. */
const ENOUGH = 1 / 8

type Waiting = 'no' | 'for_first' | 'for_full'

export class Batcher {
  readonly #queue: Queue
  /** Set when there is a spool. */
  overflow: Overflow | undefined
  readonly #config: ChainConfig['batch']
  readonly #clock: Clock
  readonly #inFlightBatches: Set<InFlightBatch>
  readonly #signal: Signal
  #waiting: Waiting = 'no'
  #hurry = false
  #ended = false
  #cut = false
  #onCut: () => void = () => {}

  /** A batch is added to `flights` in the moment in which it leaves where it waited, so that it is always counted. */
  constructor(queue: Queue, config: ChainConfig['batch'], clock: Clock, inFlightBatches: Set<InFlightBatch>) {
    this.#queue = queue
    this.#inFlightBatches = inFlightBatches
    this.#config = config
    this.#clock = clock
    this.#signal = new Signal(clock)
  }

  /** The next batch; undefined once the batcher has ended and nothing waits. */
  async next(): Promise<InFlightBatch | undefined> {
    const { max_events: maxEvents, max_bytes: maxBytes } = this.#config
    while (!this.#cut) {
      const since = this.#oldestMs
      if (since === undefined) {
        if (this.#ended && this.overflow?.writing !== true) return undefined
        await this.#wait('for_first')
        continue
      }
      const left = since + this.#config.max_wait - this.#clock.nowMs()
      if (!this.#full() && left > 0) {
        await this.#wait('for_full', left)
        continue
      }
      this.#hurry = false
      if (this.#queue.waitingEvents > 0) {
        const taken = new InFlightBatch(this.#queue.take(maxEvents, maxBytes))
        this.#inFlightBatches.add(taken)
        return taken
      }
      const inFlightBatch = await this.#read(maxEvents, maxBytes)
      if (inFlightBatch !== undefined) return inFlightBatch
    }
    return undefined
  }

  /** A batch from the disk; undefined when there was none, and as soon as the batcher is cut: a disk may hang. */
  #read(maxEvents: number, maxBytes: number): Promise<InFlightBatch | undefined> {
    return new Promise((resolve, reject) => {
      this.#onCut = () => resolve(undefined)
      Promise.resolve(this.overflow?.read(maxEvents, maxBytes)).then(resolve, reject)
    })
  }

  /** Call after each push, and when nothing is under way any more. */
  notify(): void {
    if (this.#waiting === 'for_first' || (this.#waiting === 'for_full' && this.#full())) this.#signal.ring()
  }

  /** Sends what there is without waiting for more: somebody waits for room. */
  flush(): void {
    this.#hurry = true
    this.#signal.ring()
  }

  /** No more will come: what waits is handed out at once, then nothing. */
  end(): void {
    this.#ended = true
    this.#signal.ring()
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

  /** Since when something waits; undefined when nothing does. */
  get #oldestMs(): number | undefined {
    const { overflow } = this
    return this.#queue.oldestMs ?? (overflow?.readable === true ? overflow.sinceMs : undefined)
  }

  #full(): boolean {
    const { waitingEvents, waitingBytes } = this.#queue
    const share = this.#inFlightBatches.size === 0 ? ENOUGH : 1
    const [maxEvents, maxBytes] = [this.#config.max_events * share, this.#config.max_bytes * share]
    if (this.#ended || this.#hurry || waitingEvents >= maxEvents || waitingBytes >= maxBytes) return true
    const { overflow } = this
    if (overflow === undefined || waitingEvents > 0) return false
    // A spool that is not the way of all events is emptied at once, however little it holds: memory is the shorter way.
    return overflow.spooled >= maxEvents || (overflow.readable && !overflow.always)
  }
}
