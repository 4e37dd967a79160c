/** A ring that contains a recording, again and again. */
import { EVENT_HEADER } from '../../../collector/wire/wire.ts'
import type { RingReader } from '../../../native/types.ts'

/** RingReader.read stops when less space than a largest record is left. */
const LARGEST_RECORD = 64 << 10

export interface RingOptions {
  /** Number of repetitions of the recording; endless if absent. */
  readonly rounds?: number
  /** Called at the end of each round. */
  readonly onRound?: () => void
  /** Called before each read with the number of records read so far. Returns the number of further records; all if absent. */
  readonly due?: (records: number) => number
}

export class RecordedRing implements RingReader {
  /** Records read so far. */
  records = 0
  readonly #bytes: Buffer
  readonly #onRound: () => void
  readonly #due: (records: number) => number
  #at = 0
  #rounds: number

  constructor(bytes: Buffer, { rounds = Infinity, onRound = () => {}, due = () => Infinity }: RingOptions = {}) {
    this.#bytes = bytes
    this.#rounds = rounds
    this.#onRound = onRound
    this.#due = due
  }

  read(into: Uint8Array): number {
    if (this.#at === this.#bytes.length && this.#rounds > 0) {
      this.#rounds--
      this.#at = 0
      this.#onRound()
    }
    if (this.#rounds <= 0) return 0
    const most = Math.min(this.#bytes.length, this.#at + into.length - LARGEST_RECORD + 1)
    let end = this.#at
    for (let left = this.#due(this.records); left > 0 && end < most; left--) {
      end = this.#next(end)
      this.records++
    }
    into.set(this.#bytes.subarray(this.#at, end))
    const length = end - this.#at
    this.#at = end
    return length
  }

  #next(at: number): number {
    return at + ((this.#bytes.readUInt32LE(at + EVENT_HEADER.size) + 7) & ~7)
  }

  available(): number {
    return 0
  }

  malformed(): number {
    return 0
  }

  close(): void {}

  [Symbol.dispose](): void {}
}
