/** Keeps frames until they are durable, to write them again if a sync fails. */
import type { Segment } from './catalog.ts'
import { sizeOf } from './format/segment.ts'
import type { Placed } from './format/segment.ts'

/** A frame and where it was written. */
export interface HeldFrame {
  readonly frame: Placed
  readonly segment: Segment
  readonly offset: number
}

/** Oldest first. Above its limit it forgets the oldest: a slow disk must not use unlimited memory. */
export class UnsyncedFrames {
  readonly #maxBytes: number
  #frames: HeldFrame[] = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get frames(): readonly HeldFrame[] {
    return this.#frames
  }

  add(frame: HeldFrame): void {
    if (this.#maxBytes === 0) return
    this.#frames.push(frame)
    this.#bytes += sizeOf(frame.frame)
    let gone = 0
    for (; this.#bytes > this.#maxBytes; gone++) this.#bytes -= sizeAt(this.#frames, gone)
    if (gone > 0) this.#frames.splice(0, gone)
  }

  /** Forgets frames before `seq`. */
  releaseBefore(seq: number): void {
    let gone = 0
    for (; (this.#frames[gone]?.frame.seq ?? seq) < seq; gone++) this.#bytes -= sizeAt(this.#frames, gone)
    if (gone > 0) this.#frames.splice(0, gone)
  }

  /** Replaces the frames by rewritten ones. */
  replace(frames: readonly HeldFrame[]): void {
    this.#frames = [...frames]
  }
}

function sizeAt(frames: readonly HeldFrame[], index: number): number {
  const held = frames[index]
  return held === undefined ? 0 : sizeOf(held.frame)
}
