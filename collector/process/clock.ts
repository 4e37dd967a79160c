/**
 * Boot time → wall time. All times come from one clock (CLOCK_BOOTTIME, which runs on during suspend) and one offset. It is renewed when
 * the wall clock was set or drifted by more than a millisecond, so the times of one process do not jitter.
 */
import type { Timestamp } from '../../exporters/contract/event.ts'

const NSEC = 1_000_000_000n
const TOLERANCE_NS = 1_000_000n

export class WallClock {
  readonly #offset: () => bigint
  #taken: bigint
  #sec = 0
  #nsec = 0

  /** `offset` returns CLOCK_REALTIME − CLOCK_BOOTTIME in nanoseconds (native `clockOffset`). */
  constructor(offset: () => bigint) {
    this.#offset = offset
    this.#taken = offset()
    this.#split()
  }

  /** Renews the offset if needed; call it once per chunk. */
  refresh(): void {
    const now = this.#offset()
    const moved = now - this.#taken
    if (moved < TOLERANCE_NS && moved > -TOLERANCE_NS) return
    this.#taken = now
    this.#split()
  }

  #split(): void {
    // Round down, not towards zero: without a hardware clock the wall time can start below the boot time.
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
