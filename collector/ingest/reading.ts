/** When the ring was last read, and whether exporters still keep the events of that read. */
export class Reading {
  readonly #nowMs: () => number
  #lookedMs: number
  #held = false
  #ended = false

  /** `nowMs` never goes back. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
    this.#lookedMs = nowMs()
  }

  /** Call it each time the ring was read, or found empty. */
  looked(): void {
    this.#lookedMs = this.#nowMs()
  }

  /** The exporters have the events now; one that blocks keeps them. */
  handOver(): void {
    this.#held = true
  }

  takeBack(): void {
    this.#held = false
    this.looked()
  }

  /** The agent stops: the ring is not expected to be read any more. */
  end(): void {
    this.#ended = true
  }

  get silentMs(): number {
    return this.#nowMs() - this.#lookedMs
  }

  get held(): boolean {
    return this.#held
  }

  get ended(): boolean {
    return this.#ended
  }
}
