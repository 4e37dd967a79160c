import { MAX_NAMED_MS, backOffMs } from '../../../config/base/time/back-off.ts'
import type { Batch } from '../../contract/exporter.ts'
import type { Random } from '../../../config/base/time/clock.ts'

/**
 * A request has the bytes that the sink takes in this time. Limits are token buckets of a second and more (Loki: 1.5 s of the rate for a
 * tenant, 5 s for a stream), so a wait of this time does not let the bucket overflow.
 */
const STEP_MS = 250
/** The rate is that of about this time. After as long without a 429, requests have whole batches again. */
const HORIZON_MS = 10_000
/** Smaller requests cost more than they carry. */
const LEAST_BYTES = 8 << 10

/** Requests below this part of a refused one show nothing about it. A half has at least a third: one of three events. */
const SMALL = 3

export interface PaceOptions {
  /** Wait before the first retry while nothing was taken yet, and the longest one. */
  readonly initial: number
  readonly max: number
  /** Monotonic milliseconds. */
  readonly nowMs: () => number
  readonly random: Random
}

/**
 * The size of requests and the waits between them while the sink limits the rate, from the bytes that it takes. Refusals in a row
 * double the wait, because other agents may use the same allowance. They also halve the request, because it may exceed the sink's
 * burst (docs/reference/exporters/loki.md).
 */
export class Pace {
  readonly #options: PaceOptions
  #throttled = false
  /** Time after which the limit no longer counts, unless another 429 arrives. */
  #untilMs = 0
  #inRow = 0
  #refusedBytes = 0
  #maxBytes = Number.POSITIVE_INFINITY
  /** Bytes taken and time passed since the first 429, the older the less. */
  #bytes = 0
  #spanMs = 0
  #atMs = 0

  constructor(options: PaceOptions) {
    this.#options = options
  }

  /** Maximum events of the batch per request. */
  maxEvents({ count, sizeBytes }: Batch): number {
    if (!this.#throttled) return Number.POSITIVE_INFINITY
    const step = this.#bytes > 0 ? this.#stepBytes : Number.POSITIVE_INFINITY
    return Math.max(1, Math.floor((Math.min(step, this.#maxBytes) / sizeBytes) * count))
  }

  /** The sink has taken a request. */
  taken(bytes: number): void {
    if (!this.#throttled) return
    this.#throttled = this.#options.nowMs() < this.#untilMs
    this.#measure(bytes)
    // Small requests do not prove that the refused one can pass.
    if (bytes < this.#refusedBytes / SMALL) return
    this.#inRow = 0
    this.#maxBytes = Number.POSITIVE_INFINITY
  }

  /** A request got a 429, though the sink has stored `stored` bytes of it. Returns the wait: `afterMs` if the sink named a time. */
  refused(bytes: number, stored: number, afterMs: number | undefined): number {
    const { initial, max, nowMs, random } = this.#options
    if (!this.#throttled) {
      this.#atMs = nowMs()
      this.#bytes = 0
      this.#spanMs = 0
      this.#inRow = 0
      this.#throttled = true
    }
    this.#refusedBytes = bytes
    this.#measure(stored)
    this.#inRow = stored > 0 ? 1 : this.#inRow + 1
    const isKnown = this.#bytes > 0
    if (!isKnown || this.#inRow > 1) this.#maxBytes = bytes / 2
    // Searches for the sink's burst: each half is less load.
    if (!isKnown && this.#maxBytes > LEAST_BYTES) this.#inRow = 1
    const stepMs = isKnown ? (this.#stepBytes * this.#spanMs) / this.#bytes : initial / 2
    // ±25 %, so that many agents do not retry at once.
    const ownMs = backOffMs(stepMs, max, this.#inRow - 1) * (0.75 + random() / 2)
    const waitMs = Math.min(afterMs ?? ownMs, MAX_NAMED_MS)
    this.#untilMs = nowMs() + waitMs + HORIZON_MS
    return waitMs
  }

  get #stepBytes(): number {
    return Math.max(LEAST_BYTES, (this.#bytes * STEP_MS) / this.#spanMs)
  }

  #measure(bytes: number): void {
    const nowMs = this.#options.nowMs()
    const passedMs = nowMs - this.#atMs
    const kept = Math.exp(-passedMs / HORIZON_MS)
    this.#bytes = this.#bytes * kept + bytes
    this.#spanMs = Math.max(1, this.#spanMs * kept + passedMs)
    this.#atMs = nowMs
  }
}
