/**
 * The bounded queue of one exporter. All unsettled events, waiting or in flight, stay within the limits of events and bytes. Keeps
 * the order. Space is freed when a part is settled, not when it is taken.
 *
 *     push ─▶ [ waiting … ] ─ take ─▶ ( in flight ) ─ settle ─▶ free
 *                  └─ dropOldest
 */
import type { Encoded } from '../contract/exporter.ts'

/** A part with its acceptance time on the sender's clock. */
export interface QueuedPart {
  readonly part: Encoded
  readonly acceptedMs: number
  /** Why it cannot be sent, and the remedy: its format in the spool is not this exporter's. */
  readonly problem?: string
  /** Loss records, which may use the reserve and are never pushed out. */
  readonly losses?: boolean
}

/** Reserve beyond the limits for loss records: a few hours of them while the sink fails. */
export const RESERVE = { bytes: 1 << 20, events: 1000 } as const
const NO_RESERVE = { bytes: 0, events: 0 } as const

/** The reserve that a part may use. */
export function reserveOf({ losses }: QueuedPart): { readonly bytes: number; readonly events: number } {
  return losses === true ? RESERVE : NO_RESERVE
}

/** Number of free slots at the start of the array before it is compacted: keeps `take` cheap. */
const COMPACT_AT = 1024

export class Queue {
  #maxBytes: number
  #maxEvents: number
  #slots: Array<QueuedPart | undefined> = []
  #head = 0
  #waitingEvents = 0
  #waitingBytes = 0
  #inFlightEvents = 0
  #inFlightBytes = 0

  constructor(maxBytes: number, maxEvents: number) {
    this.#maxBytes = maxBytes
    this.#maxEvents = maxEvents
  }

  /** Sets other limits; held events stay. */
  limit(maxBytes: number, maxEvents: number): void {
    this.#maxBytes = maxBytes
    this.#maxEvents = maxEvents
  }

  get waitingEvents(): number {
    return this.#waitingEvents
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Events waiting and in flight. */
  get events(): number {
    return this.#waitingEvents + this.#inFlightEvents
  }

  get bytes(): number {
    return this.#waitingBytes + this.#inFlightBytes
  }

  /** Acceptance time of the oldest waiting part; undefined if none waits. */
  get oldestMs(): number | undefined {
    return this.#slots[this.#head]?.acceptedMs
  }

  /** Whether a part fits into an empty queue. */
  admits(part: Encoded): boolean {
    return part.bytes.length <= this.#maxBytes && part.count <= this.#maxEvents
  }

  /** Appends a part; false, without a change, if there is no space. */
  push(held: QueuedPart): boolean {
    const { count, bytes } = held.part
    const reserve = reserveOf(held)
    if (this.bytes + bytes.length > this.#maxBytes + reserve.bytes) return false
    if (this.events + count > this.#maxEvents + reserve.events) return false
    this.#slots.push(held)
    this.#waitingEvents += count
    this.#waitingBytes += bytes.length
    return true
  }

  /** Moves the first parts to in flight: as many as both limits allow, at least one if any waits. */
  take(maxEvents: number, maxBytes: number): QueuedPart[] {
    const taken: QueuedPart[] = []
    let events = 0
    let bytes = 0
    for (let next = this.#slots[this.#head]; next !== undefined; next = this.#slots[this.#head]) {
      events += next.part.count
      bytes += next.part.bytes.length
      if (taken.length > 0 && (events > maxEvents || bytes > maxBytes)) break
      this.#shift(next)
      this.#inFlightEvents += next.part.count
      this.#inFlightBytes += next.part.bytes.length
      taken.push(next)
    }
    return taken
  }

  /** Frees the space of settled events in flight. */
  settle(events: number, bytes: number): void {
    this.#inFlightEvents -= events
    this.#inFlightBytes -= bytes
  }

  /** Removes the oldest waiting part that is not a loss record; undefined if there is none. Never drops events in flight. */
  dropOldest(): Encoded | undefined {
    let at = this.#head
    while (this.#slots[at]?.losses === true) at++
    const oldest = this.#slots[at]
    if (oldest === undefined) return undefined
    // Skipped parts move up by one.
    this.#slots.copyWithin(this.#head + 1, this.#head, at)
    this.#shift(oldest)
    return oldest.part
  }

  /** Removes all waiting parts, oldest first. */
  takeBack(): QueuedPart[] {
    const waiting = this.#slots.slice(this.#head).filter((held) => held !== undefined)
    this.#slots = []
    this.#head = 0
    this.#waitingEvents = 0
    this.#waitingBytes = 0
    return waiting
  }

  /** Waiting events, recounted to verify the running count. */
  recount(): number {
    return this.#slots.reduce((sum, held) => sum + (held?.part.count ?? 0), 0)
  }

  #shift(head: QueuedPart): void {
    this.#slots[this.#head++] = undefined
    this.#waitingEvents -= head.part.count
    this.#waitingBytes -= head.part.bytes.length
    if (this.#head === this.#slots.length || (this.#head >= COMPACT_AT && this.#head * 2 >= this.#slots.length)) {
      this.#slots = this.#slots.slice(this.#head)
      this.#head = 0
    }
  }
}
