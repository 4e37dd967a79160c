/**
 * A set of numbers: ascending ranges while it has few gaps, as from a sink that has all in order; then a bitmap in blocks, because a topic's
 * partitions are read one after another, and each has every n-th number.
 */
import { firstIndex } from '../../config/base/search.ts'
import type { NumberRange } from '../contract/event.ts'

const MAX_RANGES = 4096
/** Numbers of a block, whose bits take 8 KiB. */
const BLOCK = 1 << 16
/** Memory for hostile input: 128 MiB of blocks with gaps, and gaps of 16 MB. */
const MAX_BLOCKS = 16_384
const MAX_GAPS = 1_000_000
/** A block without gaps takes no memory of its own. */
const WHOLE = new Uint8Array(BLOCK / 8).fill(0xff)

export class NumberSet {
  readonly #first: number[] = []
  readonly #last: number[] = []
  #blocks: Map<number, { bits: Uint8Array; count: number }> | undefined
  #open = 0
  size = 0

  /** Returns false if the number is known. Throws RangeError for numbers that are too far apart. */
  add(number: number): boolean {
    const isNew = this.#blocks === undefined ? this.#extend(number) : this.#mark(number)
    if (isNew) this.size++
    return isNew
  }

  #extend(number: number): boolean {
    const end = this.#last.length - 1
    if (end >= 0 && number === (this.#last[end] ?? 0) + 1) {
      this.#last[end] = number
      return true
    }
    // The first range that begins after the number.
    const at = firstIndex(this.#first.length, (i) => (this.#first[i] ?? 0) > number)
    if (at > 0 && number <= (this.#last[at - 1] ?? -1)) return false
    const joinsBefore = at > 0 && this.#last[at - 1] === number - 1
    const joinsAfter = this.#first[at] === number + 1
    if (joinsBefore && joinsAfter) {
      this.#last[at - 1] = this.#last[at] ?? number
      this.#first.splice(at, 1)
      this.#last.splice(at, 1)
    } else if (joinsBefore) this.#last[at - 1] = number
    else if (joinsAfter) this.#first[at] = number
    else if (this.#first.length < MAX_RANGES) {
      this.#first.splice(at, 0, number)
      this.#last.splice(at, 0, number)
    } else {
      const known = [...this.#ranges()]
      this.#blocks = new Map()
      for (const { first, last } of known) for (let each = first; each <= last; each++) this.#mark(each)
      return this.#mark(number)
    }
    return true
  }

  #mark(number: number): boolean {
    const index = Math.floor(number / BLOCK)
    let block = this.#blocks?.get(index)
    if (block === undefined) {
      if (this.#open === MAX_BLOCKS) throw new RangeError(`expected at most ${MAX_BLOCKS} parts with gaps in one run`)
      block = { bits: new Uint8Array(BLOCK / 8), count: 0 }
      this.#blocks?.set(index, block)
      this.#open++
    }
    const [at, bit] = [(number % BLOCK) >>> 3, 1 << (number & 7)]
    const byte = block.bits[at] ?? 0
    if ((byte & bit) !== 0) return false
    block.bits[at] = byte | bit
    if (++block.count === BLOCK) {
      block.bits = WHOLE
      this.#open--
    }
    return true
  }

  *#ranges(): Generator<NumberRange> {
    if (this.#blocks === undefined) {
      for (const [i, first] of this.#first.entries()) yield { first, last: this.#last[i] ?? first }
      return
    }
    let range: { first: number; last: number } | undefined
    for (const [index, { bits }] of [...this.#blocks].toSorted(([a], [b]) => a - b)) {
      for (let i = 0; i < BLOCK; i++) {
        if (((bits[i >>> 3] ?? 0) & (1 << (i & 7))) === 0) continue
        const number = index * BLOCK + i
        if (range?.last === number - 1) range.last = number
        else {
          if (range !== undefined) yield range
          range = { first: number, last: number }
        }
      }
    }
    if (range !== undefined) yield range
  }

  get first(): number {
    const { done = true, value } = this.#ranges().next()
    return done ? 0 : value.first
  }

  /** The numbers from `from` to the last that are not in the set. Throws RangeError for too many gaps. */
  gaps(from: number): NumberRange[] {
    const found: NumberRange[] = []
    let next = from
    for (const { first, last } of this.#ranges()) {
      if (first > next) found.push({ first: next, last: first - 1 })
      if (found.length > MAX_GAPS) throw new RangeError(`expected at most ${MAX_GAPS} gaps in one run`)
      next = Math.max(next, last + 1)
    }
    return found
  }

  /** Number of members of the set greater than `number`. */
  countAbove(number: number): number {
    let count = 0
    for (const { first, last } of this.#ranges()) if (last > number) count += last - Math.max(first, number + 1) + 1
    return count
  }
}

export function countOf(ranges: readonly NumberRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0)
}
