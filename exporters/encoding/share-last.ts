/**
 * Encodes JSON once for all users. The fan-out passes the same slice to each encoder in turn. An OTLP body can be the JSON line
 * that the file exporter just had encoded.
 */
import type { Event } from '../contract/event.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import { Memory } from '../contract/encoded.ts'

/**
 * Wraps an encoder so that a second call with the same events returns the Encoded of the first. Remembers one slice. Until
 * `encode` is called once, `borrow` uses the encoder's own buffer, which saves a copy.
 */
export function shareLast(encoder: Encoder): Encoder {
  return new SharedEncoder(encoder)
}

/** Encodes for immediate reading: the bytes may be overwritten by the encoder's next call. */
export function borrowFrom(encoder: Encoder, events: readonly Event[]): Encoded {
  return encoder.borrow?.(events) ?? encoder.encode(events)
}

class SharedEncoder implements Encoder {
  readonly #encoder: Encoder
  #events: readonly Event[] = []
  #first: Event | undefined
  #end: Event | undefined
  #encoded: Encoded | undefined
  /** The bytes of `#encoded` are borrowed from the encoder. */
  #borrowed = false
  /** A caller keeps bytes, so the next slice will not be borrowed. */
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

  /** Compares events too, because a caller may reuse the array. Events are never reused. */
  #same(events: readonly Event[], last: Encoded): boolean {
    // Freed bytes have length 0.
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
