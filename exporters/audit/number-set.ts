/** A set of numbers as ascending ranges: small where numbers follow each other, as they do in a sink that has all. */
import { firstIndex } from '../../config/base/search.ts'
import type { NumberRange } from '../contract/event.ts'

/** Memory for hostile input: 16 MB. */
const MAX_RANGES = 1_000_000

export class NumberSet {
  readonly #first: number[] = []
  readonly #last: number[] = []
  size = 0

  /** Returns false if the number is known. Throws RangeError for a set with too many gaps. */
  add(number: number): boolean {
    const end = this.#last.length - 1
    if (end >= 0 && number === (this.#last[end] ?? 0) + 1) {
      this.#last[end] = number
      this.size++
      return true
    }
    // The first range that begins after the number.
    const at = firstIndex(this.#first.length, (i) => (this.#first[i] ?? 0) > number)
    if (at > 0 && number <= (this.#last[at - 1] ?? -1)) return false
    this.size++
    const joinsBefore = at > 0 && this.#last[at - 1] === number - 1
    const joinsAfter = this.#first[at] === number + 1
    if (joinsBefore && joinsAfter) {
      this.#last[at - 1] = this.#last[at] ?? number
      this.#first.splice(at, 1)
      this.#last.splice(at, 1)
    } else if (joinsBefore) this.#last[at - 1] = number
    else if (joinsAfter) this.#first[at] = number
    else {
      if (this.#first.length >= MAX_RANGES) throw new RangeError(`expected at most ${MAX_RANGES} gaps in one run`)
      this.#first.splice(at, 0, number)
      this.#last.splice(at, 0, number)
    }
    return true
  }

  get first(): number {
    return this.#first[0] ?? 0
  }

  /** The numbers from `from` to the last that are not in the set. */
  gaps(from: number): NumberRange[] {
    const found: NumberRange[] = []
    let next = from
    for (let i = 0; i < this.#first.length; i++) {
      const first = this.#first[i] ?? 0
      if (first > next) found.push({ first: next, last: first - 1 })
      next = Math.max(next, (this.#last[i] ?? 0) + 1)
    }
    return found
  }

  /** Number of members of the set greater than `number`. */
  countAbove(number: number): number {
    return this.#first.reduce((sum, first, i) => {
      const last = this.#last[i] ?? 0
      return last > number ? sum + last - Math.max(first, number + 1) + 1 : sum
    }, 0)
  }
}

export function countOf(ranges: readonly NumberRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0)
}
