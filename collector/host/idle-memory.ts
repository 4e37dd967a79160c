/**
 * Frees memory after a burst. V8 collects garbage when it allocates, which an idle agent hardly does. So this requests one collection after
 * a burst, and one after the start. It waits until the agent is quiet, and requires that the heap has grown since the last one. The one
 * after the start is thorough: most of what runs at the start never runs again.
 */
import { getHeapStatistics } from 'node:v8'

/** More bytes of the ring between two looks are a burst. */
const BURST_BYTES = 64 << 10
/** Quiet looks in a row before a collection: ended processes stay in the table for some seconds. */
const QUIET_LOOKS = 4
/** A smaller growth is not worth a collection, which reads the whole heap. */
const WORTH_BYTES = 4 << 20

export class IdleMemory {
  readonly #collect: (thorough: boolean) => Promise<void>
  readonly #heapBytes: () => number
  /** Used bytes after the last collection; 0 before the first, so that it takes place. */
  #keptBytes = 0
  #bytesRead = 0
  #quiet = 0
  #pending = true
  #first = true

  /** `collect` may take some 10 ms, a thorough one some 100 ms. `heapBytes` returns the used bytes of the heap, garbage included. */
  constructor(collect: (thorough: boolean) => Promise<void>, heapBytes: () => number = usedHeap) {
    this.#collect = collect
    this.#heapBytes = heapBytes
  }

  /** Call it every few seconds. `bytesRead`: bytes read from the ring since the start. */
  look(bytesRead: number): void {
    const burst = bytesRead - this.#bytesRead > BURST_BYTES
    this.#bytesRead = bytesRead
    this.#quiet = burst ? 0 : this.#quiet + 1
    this.#pending ||= burst
    if (!this.#pending || this.#quiet < QUIET_LOOKS) return
    this.#pending = false
    if (this.#heapBytes() - this.#keptBytes >= WORTH_BYTES) void this.#run()
  }

  async #run(): Promise<void> {
    const first = this.#first
    this.#first = false
    await this.#collect(first)
    this.#keptBytes = this.#heapBytes()
  }
}

/**
 * Requests a full collection as a separate task; does nothing without Node's flag --expose-gc, which ./ktrail sets. `thorough`: also frees
 * compiled code and repeats until nothing more is freed, 13 MB more after a start; functions that run again are compiled again.
 */
export async function collectGarbage(thorough = false): Promise<void> {
  await globalThis.gc?.({ type: 'major', execution: 'async', ...(thorough ? { flavor: 'last-resort' } : {}) })
}

function usedHeap(): number {
  const { used_heap_size: used, external_memory: external } = getHeapStatistics()
  return used + external
}
