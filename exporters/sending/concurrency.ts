/**
 * Adapts the number of concurrent `send` calls to the sink: additive increase and multiplicative decrease as in Vector. There is no
 * increase once responses take twice the fastest time: the mean alone follows a sink that gets slower and slower.
 */

/** Weight of the newest round trip in the mean. */
const ALPHA = 0.4
const BACK_OFF = 0.9
/** Responses slower than the mean by this many deviations indicate load. */
const DEVIATIONS = 2.5
/** Above this multiple of the fastest time more calls only wait for each other. */
const STRETCH = 2
/** Increases the fastest time with each decision, because networks change. */
const FORGET = 1.001

export class ConcurrencyLimit {
  readonly #max: number
  #limit = 1
  #mean: number | undefined
  #variance = 0
  #fastest = Infinity
  #untilMs = 0
  #reached = false
  #pushedBack = false
  #sum = 0
  #count = 0

  constructor(max: number) {
    this.#max = Math.max(1, Math.floor(max))
  }

  /** Calls allowed at once, from 1 up to the maximum. */
  get limit(): number {
    return Math.floor(this.#limit)
  }

  /** A call is about to start, with `inFlight` others running. */
  started(inFlight: number): void {
    if (inFlight + 1 >= this.limit) this.#reached = true
  }

  /** A call has ended after `rttMs`; `pushedBack` if the sink did not accept it. */
  answered(rttMs: number, pushedBack: boolean, nowMs: number): void {
    if (this.#max === 1) return
    if (pushedBack) this.#pushedBack = true
    // The time of a refusal is not the sink's speed.
    else {
      this.#sum += rttMs
      this.#count++
    }
    if (nowMs >= this.#untilMs) this.#decide(nowMs)
  }

  /** Once per round trip: increases if all slots were used without problems, decreases under load. */
  #decide(nowMs: number): void {
    const measured = this.#count === 0 ? undefined : this.#sum / this.#count
    const mean = this.#mean
    const slow =
      measured !== undefined &&
      mean !== undefined &&
      measured >= mean + Math.max(1, DEVIATIONS * Math.sqrt(this.#variance))
    if (this.#pushedBack || slow) this.#limit = Math.max(1, this.#limit * BACK_OFF)
    else if (this.#reached && measured !== undefined && measured <= STRETCH * this.#fastest) {
      this.#limit = Math.min(this.#max, this.#limit + 1)
    }
    if (measured !== undefined) {
      this.#fastest = Math.min(measured, this.#fastest * FORGET)
      const off = measured - (mean ?? measured)
      this.#mean = (mean ?? measured) + ALPHA * off
      this.#variance = (1 - ALPHA) * (this.#variance + ALPHA * off * off)
    }
    this.#untilMs = nowMs + (this.#mean ?? 0)
    this.#reached = false
    this.#pushedBack = false
    this.#sum = 0
    this.#count = 0
  }
}
