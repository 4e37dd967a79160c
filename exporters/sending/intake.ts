/**
 * What happens to a part that is offered: into the queue, on the way to the spool, outside both (`block`), or dropped, by
 * `whenFull`. Constraint: order is kept, so nothing passes a part that waits outside.
 */
import type { DropReason, Encoded } from '../contract/exporter.ts'
import type { Counters } from '../buffer/counters.ts'
import type { Clock } from '../runtime/clock.ts'
import { batchOf, spanOf } from '../contract/encoded.ts'
import type { ChainConfig } from './config.ts'
import type { Overflow } from '../buffer/overflow.ts'
import type { Held, Queue } from '../buffer/queue.ts'

interface Waiting {
  readonly part: Encoded
  readonly losses: boolean
}

export class Intake {
  readonly #queue: Queue
  readonly #whenFull: ChainConfig['queue']['when_full']
  readonly #accounting: Counters
  readonly #clock: Clock
  /** Set when there is a spool. */
  overflow: Overflow | undefined
  /** Moves what is in flight and in the queue over to the spool, before anything that comes later. */
  readonly #divert: () => void
  /** In the books and held, but not in the queue until there is room. At most what one publish offered. */
  #outside: Waiting[] = []
  #done: PromiseWithResolvers<void> | undefined

  constructor(
    queue: Queue,
    whenFull: ChainConfig['queue']['when_full'],
    deps: { accounting: Counters; clock: Clock; divert: () => void },
  ) {
    this.#queue = queue
    this.#whenFull = whenFull
    this.#accounting = deps.accounting
    this.#clock = deps.clock
    this.#divert = deps.divert
  }

  /**
   * With `patient` false a `block` queue drops the newest instead: its sink waits for a person. Records of losses
   * (`losses`) may also take the reserve.
   */
  put(part: Encoded, patient: boolean, losses: boolean): void {
    if (this.#outside.length > 0) {
      this.#outside.push({ part, losses })
      return
    }
    if (!losses && !(this.overflow ?? this.#queue).admits(part)) return this.#dropAs('queue_full', part)
    if (this.#push(part, losses)) return
    switch (this.#whenFull) {
      case 'block':
        if (patient) this.#outside.push({ part, losses })
        else this.#drop(part)
        break
      // What a spool does not take is the newest.
      case 'spool':
      case 'drop_newest':
        this.#drop(part)
        break
      case 'drop_oldest':
        this.#replaceOldest(part, losses)
        break
    }
  }

  /** Settles when nothing is outside; undefined when nothing is. */
  get wait(): Promise<void> | undefined {
    if (this.#outside.length === 0) return undefined
    this.#done ??= Promise.withResolvers<void>()
    return this.#done.promise
  }

  /** Lets in what is outside, as far as there is room. */
  admit(patient: boolean): void {
    for (const { part, losses } of this.#outside.splice(0)) this.put(part, patient, losses)
    this.#release()
  }

  /** Drops whatever waits, outside, in the queue and on the way to the spool. */
  dropAll(reason: DropReason): void {
    for (const { part } of this.#queue.takeBack()) this.#dropAs(reason, part)
    this.overflow?.abandon(reason)
    for (const { part } of this.#outside.splice(0)) this.#dropAs(reason, part)
    this.#release()
  }

  /** Events and bytes outside the queue. */
  outside(): { readonly count: number; readonly sizeBytes: number } {
    return batchOf(this.#outside.map(({ part }) => part))
  }

  #push(part: Encoded, losses: boolean): boolean {
    const acceptedMs = this.#clock.nowMs()
    const held: Held = losses ? { part, acceptedMs, losses } : { part, acceptedMs }
    const { overflow } = this
    if (overflow === undefined) return this.#queue.push(held)
    if (!overflow.active) {
      if (this.#queue.push(held)) return true
      this.#divert()
    }
    return overflow.put(held)
  }

  #replaceOldest(part: Encoded, losses: boolean): void {
    while (!this.#push(part, losses)) {
      const oldest = this.overflow === undefined ? this.#queue.dropOldest() : this.overflow.dropOldest()
      // All the room is taken by what is in flight: then the newest is what goes.
      if (oldest === undefined) return this.#drop(part)
      this.#drop(oldest)
    }
  }

  #drop(part: Encoded): void {
    this.#dropAs(this.overflow?.fullReason ?? 'queue_full', part)
  }

  #dropAs(reason: DropReason, part: Encoded): void {
    this.#accounting.drop(reason, part.count, spanOf({ parts: [part] }))
  }

  #release(): void {
    if (this.#outside.length > 0) return
    this.#done?.resolve()
    this.#done = undefined
  }
}
