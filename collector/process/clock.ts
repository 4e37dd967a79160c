/**
 * Boot time → wall time. One clock for everything (CLOCK_BOOTTIME runs on through a suspend), one offset, taken anew
 * when the wall clock was set or drifted by more than a millisecond; so the times of one process do not jitter.
 */
import type { Timestamp } from '../../exporters/contract/event.ts'

const NSEC = 1_000_000_000n
const TOLERANCE_NS = 1_000_000n

export class WallClock {
  readonly #offset: () => bigint
  #taken: bigint
  #sec = 0
  #nsec = 0

  /** `offset` gives CLOCK_REALTIME − CLOCK_BOOTTIME in nanoseconds (native `clockOffset`). */
  constructor(offset: () => bigint) {
    this.#offset = offset
    this.#taken = offset()
    this.#split()
  }

  /** Looks at the clocks again; call it once for many events. */
  refresh(): void {
    const now = this.#offset()
    const moved = now - this.#taken
    if (moved < TOLERANCE_NS && moved > -TOLERANCE_NS) return
    this.#taken = now
    this.#split()
  }

  #split(): void {
    // Rounded down, not towards zero: a machine without a clock of its own starts below its boot time.
    this.#nsec = Number(((this.#taken % NSEC) + NSEC) % NSEC)
    this.#sec = Number((this.#taken - BigInt(this.#nsec)) / NSEC)
  }

  /** Wall time of a boot time. */
  at(sec: number, nsec: number): Timestamp {
    const sum = nsec + this.#nsec
    return sum >= 1_000_000_000
      ? { sec: sec + this.#sec + 1, nsec: sum - 1_000_000_000 }
      : { sec: sec + this.#sec, nsec: sum }
  }

  /** Wall time of a boot time in nanoseconds. */
  atNs(bootNs: bigint): Timestamp {
    return this.at(Number(bootNs / NSEC), Number(bootNs % NSEC))
  }
}
