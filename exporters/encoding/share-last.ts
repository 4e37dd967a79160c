/**
 * One JSON encoding for all who need it. The fan-out hands the same slice to each encoder in turn; the OTLP body is the
 * JSON line, so behind this wrapper the slice that the file exporter has just had encoded is not encoded again.
 */
import type { Event } from '../contract/event.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import { Memory } from '../runtime/memory.ts'

/**
 * Wraps an encoder so that a second call with the same events returns the Encoded of the first. Keeps one slice. As long as
 * nobody wants to keep bytes, they are borrowed from the encoder, which saves a copy and the garbage.
 */
export function shareLast(encoder: Encoder): Encoder {
  return new SharedEncoder(encoder)
}

class SharedEncoder implements Encoder {
  readonly #encoder: Encoder
  #events: readonly Event[] = []
  #first: Event | undefined
  #end: Event | undefined
  #encoded: Encoded | undefined
  /** The bytes of `#encoded` are the encoder's own. */
  #borrowed = false
  /** Somebody keeps bytes, so the next will be wanted too. */
  #kept = false

  constructor(encoder: Encoder) {
    this.#encoder = encoder
  }

  get encoding(): Encoder['encoding'] {
    return this.#encoder.encoding
  }

  encode(events: readonly Event[]): Encoded {
    this.#kept = true
    const last = this.#encoded
    if (last === undefined || !this.#same(events, last))
      return this.#remember(events, this.#encoder.encode(events), false)
    if (!this.#borrowed) return last
    const bytes = Buffer.from(last.bytes)
    return this.#remember(events, { ...last, bytes, memory: new Memory(bytes) }, false)
  }

  borrow(events: readonly Event[]): Encoded {
    const last = this.#encoded
    if (last !== undefined && this.#same(events, last)) return last
    const borrowed = this.#kept ? undefined : this.#encoder.borrow?.(events)
    return this.#remember(events, borrowed ?? this.#encoder.encode(events), borrowed !== undefined)
  }

  #remember(events: readonly Event[], encoded: Encoded, borrowed: boolean): Encoded {
    this.#events = events
    this.#first = events[0]
    this.#end = events.at(-1)
    this.#borrowed = borrowed
    return (this.#encoded = encoded)
  }

  /** The array alone would not do: a caller may fill it anew. Events are made once and never reused. */
  #same(events: readonly Event[], last: Encoded): boolean {
    // Bytes whose users are done are gone.
    const gone = last.bytes.length === 0 && last.count > 0
    return (
      !gone &&
      events === this.#events &&
      events.length === last.count &&
      events[0] === this.#first &&
      events[0]?.seq === (last.count === 0 ? undefined : last.firstSeq) &&
      events.at(-1) === this.#end
    )
  }
}
