/**
 * Whether everything came up the ring: the kernel numbers every record, also one that the ring refuses, so numbers taken = records
 * received + refusals. What is missing is the imbalance. Looks two ticks back, so that records on their way do not count.
 */
import type { KernelSide } from '../kernel/kernel-side.ts'
import { SequenceTracker } from './sequence-tracker.ts'

export class RingAccounting {
  /** To be shown each record. */
  readonly tracker: SequenceTracker = new SequenceTracker()
  /** Records that were not understood. */
  malformed = 0
  readonly #kernel: Pick<KernelSide, 'state'>
  #numbered: number | undefined
  #gaps = 0
  #late = 0
  #emptied = false
  #imbalance = 0

  constructor(kernel: Pick<KernelSide, 'state'>) {
    this.#kernel = kernel
  }

  /** Call it whenever the ring was found empty. */
  emptied(): void {
    this.#emptied = true
  }

  /** Records that the kernel numbered and did not refuse, but that never came: must be 0. */
  get imbalance(): number {
    return this.#imbalance
  }

  /**
   * Looks for records that are missing behind those that came (numbered by the last look, and the ring was empty since)
   * and between them (gaps of the last look that the ring had not refused and that nothing has filled since). Call it every few seconds.
   */
  look(): void {
    const { tracker } = this
    if (this.#emptied && this.#numbered !== undefined) {
      const behind = this.#numbered - tracker.received
      this.#imbalance = Math.max(0, behind, this.#gaps - (tracker.late - this.#late))
    }
    const { taken, counters } = this.#kernel.state()
    const refused = counters.ring_full_hook + counters.ring_full_process
    this.#numbered = taken - refused
    this.#gaps = tracker.gaps() - refused
    this.#late = tracker.late
    this.#emptied = false
  }
}
