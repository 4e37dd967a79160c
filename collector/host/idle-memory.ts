/**
 * Frees memory after a burst. V8 collects garbage when it allocates, which an idle agent hardly does. So this requests one collection after
 * each burst, and one after the start, once the agent is quiet.
 */

/** More bytes of the ring between two looks are a burst. */
const BURST_BYTES = 64 << 10
/** Quiet looks in a row before a collection: ended processes stay in the table for some seconds. */
const QUIET_LOOKS = 4

export class IdleMemory {
  readonly #collect: () => void
  #bytesRead = 0
  #quiet = 0
  #pending = true

  /** `collect` may take some 10 ms. */
  constructor(collect: () => void) {
    this.#collect = collect
  }

  /** Call it every few seconds. `bytesRead`: bytes read from the ring since the start. */
  look(bytesRead: number): void {
    const burst = bytesRead - this.#bytesRead > BURST_BYTES
    this.#bytesRead = bytesRead
    this.#quiet = burst ? 0 : this.#quiet + 1
    this.#pending ||= burst
    if (!this.#pending || this.#quiet < QUIET_LOOKS) return
    this.#pending = false
    this.#collect()
  }
}

/** Requests a full collection as a separate task; does nothing without Node's flag --expose-gc, which ./ktrail sets. */
export function collectGarbage(): void {
  void globalThis.gc?.({ type: 'major', execution: 'async' })
}
