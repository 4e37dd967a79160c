/** A sink that is healthy, slow, down, rejecting or breaks its contract, by a seed; it records the ids that it saw. */
import type { Batch, Exporter, Outcome, Refusal } from '../../../exporters/contract/exporter.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import { idsOf } from '../../unit/exporters/support/lines.ts'
import type { Seeded } from '../spool/random.ts'

/** Reason of a rejection. */
export const REFUSALS: ReadonlySet<string> = new Set(['odd', 'bad'])

export type Mood = 'healthy' | 'slow' | 'down' | 'mixed' | 'hold' | 'silent'

/** The state on the other side of the network; survives every crash of the agent. */
export class Sink {
  mood: Mood = 'healthy'
  /** Ids in the order in which they were taken, with repetitions. */
  readonly taken: number[] = []
  readonly refused = new Set<number>()

  /** Ids, taken or refused, in the order in which each was first seen. */
  readonly seen = new Set<number>()
}

/** The exporter of one run of the agent. After `dead` none of its requests reaches the sink or is answered. */
export class SinkExporter implements Exporter {
  readonly type = 'simulated'
  readonly encoding = 'json'
  readonly releases = true
  readonly maxConcurrency: number
  dead = false
  #calls = 0
  readonly #sink: Sink
  readonly #random: Seeded
  readonly #clock: Clock

  constructor(sink: Sink, random: Seeded, clock: Clock, maxConcurrency: number) {
    this.#sink = sink
    this.#random = random
    this.#clock = clock
    this.maxConcurrency = maxConcurrency
  }

  start(): Promise<void> {
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    if (this.dead) return new Promise(() => undefined)
    if (++this.#calls > this.maxConcurrency) throw new Error(`${this.#calls} calls at once`)
    try {
      const { mood } = this.#sink
      if (mood !== 'healthy' || this.#random.chance(0.3)) {
        const late = await this.#wait(
          mood === 'silent' ? 100_000 : this.#random.int(mood === 'slow' ? 3000 : 50),
          signal,
        )
        if (this.dead) return await new Promise(() => undefined)
        // The connection is cut; requests on their way may have arrived.
        if (late) {
          if (this.#random.chance(0.3)) this.#take(batch, 0, batch.count, [])
          return again()
        }
      }
      return this.#answer(batch, this.#sink.mood)
    } finally {
      this.#calls--
    }
  }

  /** True if the signal came first. */
  #wait(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, () => resolve(false))
      const stop = (): void => {
        cancel()
        resolve(true)
      }
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop, { once: true })
    })
  }

  #answer(batch: Batch, mood: Mood): Outcome {
    const random = this.#random
    const { count } = batch
    switch (mood) {
      case 'healthy':
      case 'slow':
        return this.#delivered(batch)
      case 'down':
      case 'silent':
        if (random.chance(0.1)) throw new Error('an exporter that breaks its contract')
        return again(random.chance(0.2) ? { afterMs: random.int(5000) } : {})
      case 'hold':
        return { status: 'hold', error: new Error('needs manual action') }
      case 'mixed':
        return this.#mixed(batch, count)
    }
  }

  #mixed(batch: Batch, count: number): Outcome {
    const random = this.#random
    switch (random.int(6)) {
      case 0: {
        const head = random.int(count + 1)
        const refusals = random.chance(0.5) ? [] : this.#refusals(head)
        this.#take(batch, 0, head, refusals)
        return again({ taken: head, refusals })
      }
      case 1: {
        const refusals = this.#refusals(count)
        this.#take(batch, 0, count, refusals)
        return refusals.length === 0 ? { status: 'delivered' } : { status: 'partial', refusals }
      }
      case 2:
        this.#take(batch, 0, count, [all('bad', count)])
        return { status: 'rejected', reason: 'bad', error: new Error('refused') }
      case 3:
        return again()
      default:
        return this.#delivered(batch)
    }
  }

  #delivered(batch: Batch): Outcome {
    this.#take(batch, 0, batch.count, [])
    return { status: 'delivered' }
  }

  /** Some of the first `count` events. */
  #refusals(count: number): Refusal[] {
    const which = Array.from({ length: count }, (_, i) => i).filter(() => this.#random.chance(0.3))
    return which.length === 0 ? [] : [{ reason: 'odd', events: which.length, which, message: 'odd ones' }]
  }

  #take(batch: Batch, from: number, to: number, refusals: readonly Refusal[]): void {
    const refused = new Set(refusals.flatMap(({ which = [] }) => which))
    const ids = batch.parts.flatMap(({ bytes }) => idsOf(Buffer.from(bytes).toString()))
    for (const [i, id] of ids.slice(from, to).entries()) {
      this.#sink.seen.add(id)
      if (refused.has(i)) this.#sink.refused.add(id)
      else this.#sink.taken.push(id)
    }
  }
}

function all(reason: string, count: number): Refusal {
  return { reason, events: count, which: Array.from({ length: count }, (_, i) => i), message: reason }
}

function again(more: { afterMs?: number; taken?: number; refusals?: readonly Refusal[] } = {}): Outcome {
  return { status: 'retryable', error: new Error('try again'), ...more }
}
