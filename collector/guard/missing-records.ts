/**
 * Records that the kernel numbered and that never arrived, although the ring had room: another program reads the ring, or has moved its position.
 * So the way from a hook through ring and decoding is proved by every record of the host, not by a test record.
 */
import type { Finding } from '../kernel/watched/finding.ts'

export class MissingRecords {
  readonly #imbalance: () => number
  #known = 0
  #before = 0

  /** `imbalance`: such records since the start, at the last check. */
  constructor(imbalance: () => number) {
    this.#imbalance = imbalance
  }

  /** Makes a finding each time that more records are missing at two checks in a row. */
  check(): Finding[] {
    const now = this.#imbalance()
    const sure = Math.min(now, this.#before)
    this.#before = now
    if (sure <= this.#known) return []
    const got = `${sure - this.#known} records did not arrive`
    this.#known = sure
    return [{ kind: 'records_missing', on: 'the ring', expected: 'every record', got, repaired: true }]
  }
}
