/**
 * Gives memory back after a burst. V8 collects when it allocates, which an idle agent hardly does: what died in the burst stays. So
 * once the agent is quiet again, V8 is asked to collect, once for each burst and once after the start.
 */

/** More of the ring between two looks is a burst. */
const BURST_BYTES = 64 << 10
/** So many quiet looks in a row first: ended processes stay in the table for some seconds. */
const QUIET_LOOKS = 4

export class IdleMemory {
  readonly #collect: () => void
  #bytesRead = 0
  #quiet = 0
  #owed = true

  /** `collect` may take some 10 ms. */
  constructor(collect: () => void) {
    this.#collect = collect
  }

  /** Call it every second or two. `bytesRead`: of the ring, since the start. */
  look(bytesRead: number): void {
    const burst = bytesRead - this.#bytesRead > BURST_BYTES
    this.#bytesRead = bytesRead
    this.#quiet = burst ? 0 : this.#quiet + 1
    this.#owed ||= burst
    if (!this.#owed || this.#quiet < QUIET_LOOKS) return
    this.#owed = false
    this.#collect()
  }
}

/** A full collection by V8, as a task of its own; does nothing without Node's flag --expose-gc, which ./ktrail gives. */
export function collectGarbage(): void {
  void globalThis.gc?.({ type: 'major', execution: 'async' })
}
