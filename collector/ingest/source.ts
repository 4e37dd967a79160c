/**
 * The ring as chunks to pull. Without a pull the agent reads nothing: the ring is the first bounded queue, and when it is full the kernel
 * drops and counts.
 *
 *   read until empty ─▶ sleep ─first record─▶ gather, at most maxDelayMs ─▶ read until empty
 *                                                    └─watermark passed─▶
 *
 * The sleep has no timer. The kernel wakes the reader for a record at the place where the reader stopped (bpf/base/record.h `submit`). So
 * either the last read sees it or the wakeup comes. While records gather, further ones wake nobody.
 */
import { setImmediate } from 'node:timers/promises'
import { Signal, systemClock } from '../../config/base/time/clock.ts'
import type { RingReader } from '../../native/types.ts'
import type { Chunk } from '../wire/decode.ts'

export interface SourceOptions {
  readonly ring: RingReader
  /**
   * Calls back when a record arrives in an empty ring, and when the fill passes the watermark; more calls do no harm. Disposing the result
   * ends the watch.
   */
  readonly watch: (wake: () => void) => Disposable
  /** Longest time that records gather in a ring below its watermark. */
  readonly maxDelayMs: number
  /** Bytes in the ring from which on it is read at once. */
  readonly watermarkBytes: number
  /** Called whenever the ring is empty. */
  readonly onEmpty?: () => void
  /**
   * Called whenever the ring is empty: true yields an empty chunk, so that the caller can publish other events. It must then return false.
   */
  readonly wantsTurn?: () => boolean
  /** While true, the ring is read every maxDelayMs, even if it is empty: `wantsTurn` may become true without a wakeup. */
  readonly polls?: () => boolean
  readonly reading?: Reading
  readonly chunkBytes?: number
}

/** The state of the ring's reader: time of the last read, and whether exporters still hold the events. */
export class Reading {
  readonly #nowMs: () => number
  #lookedMs: number
  /** The events went to the exporters; a blocking exporter holds them. */
  held = false
  /** Reading has ended. */
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

  takeBack(): void {
    this.held = false
    this.looked()
  }

  get silentMs(): number {
    return this.#nowMs() - this.#lookedMs
  }
}

/**
 * Twice the largest record. About 90 events, that all live until they are encoded: with more, V8's young generation would overflow into the
 * old one.
 */
const CHUNK_BYTES = 128 << 10

/**
 * Yields chunks until `signal` aborts and the ring is empty. The buffer of a chunk belongs to the source, and the next pull overwrites it.
 * The event loop gets a turn between two chunks.
 */
export async function* chunks(options: SourceOptions, signal: AbortSignal): AsyncGenerator<Chunk> {
  const { reading = new Reading() } = options
  const bytes = Buffer.alloc(options.chunkBytes ?? CHUNK_BYTES)
  const wakeup = new Signal(systemClock)
  const wake = (): void => wakeup.notify()
  const watch = options.watch(wake)
  signal.addEventListener('abort', wake)
  try {
    for (;;) {
      const length = options.ring.read(bytes)
      reading.looked()
      if (length === 0) options.onEmpty?.()
      if (length > 0 || options.wantsTurn?.() === true) {
        reading.held = true
        yield { bytes, length }
        reading.takeBack()
        if (length > 0) await setImmediate()
        // Do not wait now: during the yield the ring may have filled, or the end may have come.
        continue
      }
      if (signal.aborted) return
      await wakeup.wait(options.polls?.() === true ? options.maxDelayMs : undefined)
      const waiting = options.ring.available()
      if (waiting === 0 || waiting >= options.watermarkBytes || signal.aborted) continue
      await wakeup.wait(options.maxDelayMs)
    }
  } finally {
    signal.removeEventListener('abort', wake)
    watch[Symbol.dispose]()
  }
}
