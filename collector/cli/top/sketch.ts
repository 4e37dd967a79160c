/**
 * The most frequent keys of a stream, in bounded memory: the space-saving algorithm (Metwally, Agrawal, El Abbadi: Efficient Computation of
 * Frequent and Top-k Elements in Data Streams, 2005) over weights that decay.
 *
 * Constraints: at most `capacity` keys of at most 256 characters. If it is full, a new key takes the place and the weight of
 * the lightest one. A shown rate may be too high by the lightest weight, never too low.
 */

const MAX_KEY = 256
/** The part of a weight that is left after each second: after ten seconds, 35 %. */
const KEPT = 0.9

export interface Hot {
  readonly key: string
  /** Per second, over the last seconds. */
  readonly rate: number
  /** Count since the key was last taken in. */
  readonly total: number
}

export class Sketch {
  readonly #capacity: number
  #seconds = 0
  readonly #entries = new Map<string, { weight: number; total: number }>()

  constructor(capacity = 512) {
    this.#capacity = capacity
  }

  add(text: string, count = 1): void {
    const key = text.length > MAX_KEY ? `${text.slice(0, MAX_KEY - 1)}…` : text
    const known = this.#entries.get(key)
    if (known !== undefined) {
      known.weight += count
      known.total += count
      return
    }
    let weight = 0
    if (this.#entries.size >= this.#capacity) {
      let lightest = ''
      weight = Infinity
      for (const [each, entry] of this.#entries) if (entry.weight < weight) [lightest, weight] = [each, entry.weight]
      this.#entries.delete(lightest)
    }
    this.#entries.set(key, { weight: weight + count, total: count })
  }

  /** Call it after `seconds`. */
  decay(seconds: number): void {
    this.#seconds += seconds
    const factor = KEPT ** seconds
    for (const entry of this.#entries.values()) entry.weight *= factor
  }

  /** All keys, unsorted. */
  list(): Hot[] {
    // In the first seconds the weights cover less than their full time.
    const share = (1 - KEPT) / (1 - KEPT ** Math.max(1, this.#seconds))
    return [...this.#entries].map(([key, { weight, total }]) => ({ key, rate: weight * share, total }))
  }
}
