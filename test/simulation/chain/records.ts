/** A dead-letter file that is fast, slow, full or hangs, by a seed. */
import type { Batch, Refusal } from '../../../exporters/contract/exporter.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import type { DeadLetterRecords } from '../../../exporters/sending/batch-delivery.ts'
import { idsOf } from '../../unit/exporters/support/lines.ts'
import type { Seeded } from '../spool/random.ts'

/** The time that the real file waits for its disk. */
const PATIENCE_MS = 5000

export class Records implements DeadLetterRecords {
  readonly counters = {}
  readonly #recorded: Set<number>
  readonly #random: Seeded
  readonly #clock: Clock

  /** Ids that have a record, of all runs. */
  constructor(recorded: Set<number>, random: Seeded, clock: Clock) {
    this.#recorded = recorded
    this.#random = random
    this.#clock = clock
  }

  start(): Promise<void> {
    return Promise.resolve()
  }

  reopen(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  async write({ parts }: Batch, refusals: readonly Refusal[], signal: AbortSignal): Promise<readonly number[]> {
    const random = this.#random
    const hangs = random.chance(0.1)
    if (hangs || random.chance(0.3)) await this.#wait(hangs ? PATIENCE_MS : random.int(1000), signal)
    const ids = parts.flatMap(({ bytes }) => idsOf(Buffer.from(bytes).toString()))
    return refusals.map(({ events, which = [] }) => {
      const lost = hangs ? events : random.chance(0.2) ? random.int(events + 1) : 0
      for (const index of which.slice(0, events - lost)) this.#recorded.add(ids[index] ?? -1)
      return lost
    })
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, resolve)
      const stop = (): void => {
        cancel()
        resolve()
      }
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop, { once: true })
    })
  }
}
