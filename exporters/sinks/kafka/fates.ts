/** The fates of sent events, by part: parts are retried unchanged. */
import type { Batch, Encoded } from '../../contract/exporter.ts'

/** The state of an event, as stored in the arrays of Fates. */
export const PENDING = 0
export const ACKED = 1
export const TOO_LARGE = 2
export const INVALID = 3
export type Fate = typeof PENDING | typeof ACKED | typeof TOO_LARGE | typeof INVALID

/** Origin of each record of a partition batch. */
interface Settled {
  readonly parts: readonly Encoded[]
  readonly indices: readonly number[]
}

export class Fates {
  readonly #fates = new WeakMap<Encoded, Uint8Array>()

  of(part: Encoded): Uint8Array | undefined {
    return this.#fates.get(part)
  }

  /** Stores a fate for the events `from`..`to` of a partition batch. */
  settle({ parts, indices }: Settled, from: number, to: number, fate: Fate): void {
    let last: Encoded | undefined
    let fates: Uint8Array | undefined
    for (let i = from; i < to; i++) {
      const part = parts[i]
      const index = indices[i]
      if (part === undefined || index === undefined) continue
      if (part !== last) {
        fates = this.#fates.get(part) ?? new Uint8Array(part.count)
        this.#fates.set(part, fates)
      }
      last = part
      if (fates !== undefined) fates[index] = fate
    }
  }

  forget(batch: Batch): void {
    for (const part of batch.parts) this.#fates.delete(part)
  }
}
