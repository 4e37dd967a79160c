/**
 * V8's heap after the start. These flags are not on Node's command line: Node brings compiled code of its modules for V8's default flags; with
 * other flags it compiles all of them at each start.
 */
import { channel } from 'node:diagnostics_channel'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * The old generation doubles between two collections; by default it grows to the fourfold. Growth by a half takes 15 MB less at full rate, and
 * 14 to 17 % more CPU; growth to the threefold takes 35 MB more at 5,000 events/s. All objects begin in the young generation: else V8 learns from the
 * first burst that events live long, makes them in the old one for good, and collects that all the time.
 */
export const HEAP_FLAGS = ['--heap-growing-percent=100', '--no-allocation-site-pretenuring'] as const

/** Call it when all code of the start has run. The bundle keeps its compiled code now (deploy/package/main.ts): V8 refuses code of other flags. */
export function started(): void {
  channel('ktrail:started').publish(undefined)
  for (const flag of HEAP_FLAGS) setFlagsFromString(flag)
}

/** Bytes of the ring between two checks that make a burst. */
const BURST_BYTES = 64 << 10
/** Quiet checks in a row before a collection, because ended processes stay in the table for some seconds. */
const QUIET_LOOKS = 4
/** A smaller growth is not worth a collection, which reads the whole heap. */
const WORTH_BYTES = 4 << 20

/**
 * Frees memory after a burst. V8 collects garbage when it allocates, which an idle agent hardly does. So this requests one collection after
 * a burst, and one after the start. It waits until the agent is quiet, and requires that the heap has grown since the last one. The one
 * after the start is thorough: most of what runs at the start never runs again.
 */
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

type Collect = (options: { type: 'major'; execution: 'async'; flavor?: 'last-resort' }) => Promise<void>

/**
 * Requests a full collection as a separate task. `thorough`: also frees compiled code and repeats until nothing more is freed, 13 MB more after
 * a start; functions that run again are compiled again.
 */
export async function collectGarbage(thorough = false): Promise<void> {
  setFlagsFromString('--expose-gc')
  // Contexts made from now on have it; ours was made before.
  const collect: Collect = runInNewContext('gc')
  await collect({ type: 'major', execution: 'async', ...(thorough ? { flavor: 'last-resort' } : {}) })
}

function usedHeap(): number {
  const { used_heap_size: used, external_memory: external } = getHeapStatistics()
  return used + external
}
