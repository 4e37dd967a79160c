/**
 * The ring as chunks to be pulled. While nobody pulls nothing is read: the ring is the first bounded queue, and when it
 * is full the kernel drops and counts.
 */
import { setImmediate } from 'node:timers/promises'
import { Signal, systemClock } from '../../exporters/index.ts'
import type { RingReader } from '../../native/types.ts'
import type { Chunk } from './decode.ts'

export interface SourceOptions {
  readonly ring: RingReader
  /** Calls back when the kernel woke us: the fill passed the watermark. Returns what ends the watch. */
  readonly watch: (wake: () => void) => Disposable
  /** Longest time a record waits in a ring that never reaches its watermark. */
  readonly maxDelayMs: number
  /** Called each time the ring was found empty. */
  readonly onEmpty?: () => void
  /**
   * Asked each time the ring was found empty: true gives an empty chunk, for who pulls and has something else to hand
   * on; after that it is to be false.
   */
  readonly wantsTurn?: () => boolean
  readonly chunkBytes?: number
}

/**
 * Half of it is what a largest record may need: some 90 events, that all live until they are encoded. A chunk that fills the young
 * generation would fill the old one too.
 */
const CHUNK_BYTES = 128 << 10

/**
 * Chunks until `signal` aborts and the ring is empty. A chunk's buffer belongs to the source and is written over when
 * the next one is pulled. Between two chunks the event loop gets its turn.
 */
export async function* chunks(options: SourceOptions, signal: AbortSignal): AsyncGenerator<Chunk> {
  const bytes = Buffer.alloc(options.chunkBytes ?? CHUNK_BYTES)
  const wakeup = new Signal(systemClock)
  const ring = (): void => wakeup.ring()
  const watch = options.watch(ring)
  signal.addEventListener('abort', ring)
  try {
    for (;;) {
      const length = options.ring.read(bytes)
      if (length > 0) {
        yield { bytes, length }
        await setImmediate()
        continue
      }
      options.onEmpty?.()
      if (options.wantsTurn?.() === true) {
        yield { bytes, length: 0 }
        // Not on to the wait: while we were out the ring may have filled, or the end have come.
        continue
      }
      if (signal.aborted) return
      await wakeup.wait(options.maxDelayMs)
    }
  } finally {
    signal.removeEventListener('abort', ring)
    watch[Symbol.dispose]()
  }
}
