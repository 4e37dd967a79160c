/**
 * Counts records from the ring by the kernel's own per-CPU numbers. The kernel takes a number also for a record that
 * the ring refused, so the numbers that never come are exactly the lost records.
 *
 * Records of one CPU may overtake each other by a few places (an interrupt between taking the number and the ring's
 * reservation). A gap is a loss only once it is old.
 */
export class SequenceTracker {
  readonly #received: number[] = []
  readonly #next: number[] = []
  /** Records that came after one with a higher number: each has filled a gap. */
  late = 0

  see(cpu: number, seq: number): void {
    this.#received[cpu] = (this.#received[cpu] ?? 0) + 1
    if (seq >= (this.#next[cpu] ?? 0)) this.#next[cpu] = seq + 1
    else this.late++
  }

  /** Records received. */
  get received(): number {
    return this.#received.reduce((sum, n) => sum + (n ?? 0), 0)
  }

  /** Gaps below the highest number seen: needs nothing from the kernel. */
  gaps(): number {
    return this.#next.reduce((sum, next, cpu) => sum + (next ?? 0) - (this.#received[cpu] ?? 0), 0)
  }
}
