/** The state of the ring's reader: time of the last read, and whether exporters still hold the events. */
export class Reading {
  readonly #nowMs: () => number
  #lookedMs: number
  held = false
  ended = false

  /** `nowMs`: monotonic. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
    this.#lookedMs = nowMs()
  }

  /** Call it after each read of the ring, also when it was empty. */
  looked(): void {
    this.#lookedMs = this.#nowMs()
  }

  /** The events go to the exporters; a blocking exporter holds them. */
  handOver(): void {
    this.held = true
  }

  takeBack(): void {
    this.held = false
    this.looked()
  }

  /** Reading has ended. */
  end(): void {
    this.ended = true
  }

  get silentMs(): number {
    return this.#nowMs() - this.#lookedMs
  }
}
