/**
 * Checks that no record got lost in the ring unnoticed. The kernel numbers every record, also those that the ring refuses, so numbers taken =
 * records received + refusals; the difference is the imbalance. Compares with a state two ticks old, so that records in flight do not count.
 */
import type { RingReader } from '../../native/types.ts'
import type { Kernel } from '../kernel/port.ts'
import { SequenceTracker } from './sequence-tracker.ts'

interface Source extends Pick<Kernel, 'counts'> {
  readonly ring: Pick<RingReader, 'malformed'>
}

export class RingAccounting {
  /** Must see each record. */
  readonly tracker: SequenceTracker = new SequenceTracker()
  /** Records that were read and are malformed. */
  undecoded = 0
  readonly #kernel: Source
  #numbered: number | undefined
  #gaps = 0
  #late = 0
  #emptied = false
  /** Records that the kernel numbered and did not refuse but that never arrived: must be 0. */
  imbalance = 0

  constructor(kernel: Source) {
    this.#kernel = kernel
  }

  /** Malformed records, also those that the ring's reader left out. */
  get malformed(): number {
    return this.undecoded + this.#kernel.ring.malformed()
  }

  /** Call it whenever the ring is empty. */
  emptied(): void {
    this.#emptied = true
  }

  /**
   * Finds missing records in two places: after the last received one (numbered before the previous check, and the ring was empty since); in gaps of
   * the previous check that are neither refusals nor filled since. Call it every few seconds.
   */
  look(): void {
    const { tracker } = this
    if (this.#emptied && this.#numbered !== undefined) {
      const behind = this.#numbered - tracker.received
      this.imbalance = Math.max(0, behind, this.#gaps - (tracker.late - this.#late))
    }
    const { taken, counters } = this.#kernel.counts()
    const refused = counters.ring_full_hook + counters.ring_full_process + counters.ring_full_return
    this.#numbered = taken - refused
    this.#gaps = tracker.gaps() - refused
    this.#late = tracker.late
    this.#emptied = false
  }
}
