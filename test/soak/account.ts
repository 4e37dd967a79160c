/** Account of the numbers that arrived: repetitions and order. Keeps one bit a number, because there are millions. */
export class Account {
  #seen: Uint8Array = new Uint8Array(1 << 16)
  #last = -1
  distinct = 0
  /** Numbers that arrived again. */
  duplicates = 0
  /** Numbers that first arrived after a greater one. */
  late = 0

  take(number: number): void {
    const at = number >>> 3
    if (at >= this.#seen.length) {
      const grown = new Uint8Array(Math.max(at + 1, this.#seen.length * 2))
      grown.set(this.#seen)
      this.#seen = grown
    }
    const bit = 1 << (number & 7)
    const byte = this.#seen[at] ?? 0
    if ((byte & bit) !== 0) {
      this.duplicates++
      return
    }
    this.#seen[at] = byte | bit
    this.distinct++
    if (number < this.#last) this.late++
    this.#last = Math.max(this.#last, number)
  }

  /** Number of the numbers below `count` that never arrived. Throws if an unknown number arrived. */
  missing(count: number): number {
    if (this.#last >= count) throw new Error(`expected numbers below ${count}, got ${this.#last}`)
    return count - this.distinct
  }
}
