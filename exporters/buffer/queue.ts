/**
 * The bounded queue of one exporter.
 * Constraints: events + bytes of everything not yet settled, whether waiting or in flight, stay within both
 * bounds; order is kept; room is freed when a part is settled, not when it is taken.
 *
 *     push ─▶ [ waiting … ] ─ take ─▶ ( in flight ) ─ settle ─▶ room
 *                  └─ dropOldest
 */
import type { Encoded } from '../contract/exporter.ts'

/** A part and when it came, on the clock of the sender. */
export interface Held {
  readonly part: Encoded
  readonly acceptedMs: number
  /** Why it must not be sent as things are, and what to do: it came from the spool and is in no form for this exporter. */
  readonly problem?: string
  /** Records of losses: they may take the reserve, and nothing younger pushes them out. */
  readonly losses?: boolean
}

/** Room beyond the bounds, for records of losses alone: a few hours of them while the sink is away. */
export const RESERVE = { bytes: 1 << 20, events: 1000 } as const
const NO_RESERVE = { bytes: 0, events: 0 } as const

/** The room beyond its bounds that a part may take. */
export function reserveOf({ losses }: Held): { readonly bytes: number; readonly events: number } {
  return losses === true ? RESERVE : NO_RESERVE
}

/** Vacant slots at the head of the array before it is moved down: keeps `take` cheap without leaking. */
const COMPACT_AT = 1024

export class Queue {
  readonly #maxBytes: number
  readonly #maxEvents: number
  #slots: Array<Held | undefined> = []
  #head = 0
  #waitingEvents = 0
  #waitingBytes = 0
  #inFlightEvents = 0
  #inFlightBytes = 0

  constructor(maxBytes: number, maxEvents: number) {
    this.#maxBytes = maxBytes
    this.#maxEvents = maxEvents
  }

  get waitingEvents(): number {
    return this.#waitingEvents
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Waiting and in flight. */
  get events(): number {
    return this.#waitingEvents + this.#inFlightEvents
  }

  get bytes(): number {
    return this.#waitingBytes + this.#inFlightBytes
  }

  /** When the oldest waiting part came; undefined when none waits. */
  get oldestMs(): number | undefined {
    return this.#slots[this.#head]?.acceptedMs
  }

  /** Whether a part could ever be taken, were the queue empty. */
  admits(part: Encoded): boolean {
    return part.bytes.length <= this.#maxBytes && part.count <= this.#maxEvents
  }

  fits(held: Held): boolean {
    const { part } = held
    const reserve = reserveOf(held)
    if (this.bytes + part.bytes.length > this.#maxBytes + reserve.bytes) return false
    return this.events + part.count <= this.#maxEvents + reserve.events
  }

  /** Appends; false, and nothing changes, when there is no room. */
  push(held: Held): boolean {
    if (!this.fits(held)) return false
    this.#slots.push(held)
    this.#waitingEvents += held.part.count
    this.#waitingBytes += held.part.bytes.length
    return true
  }

  /** Moves parts from the head to in flight, at least one when any waits, else as many as both bounds allow. */
  take(maxEvents: number, maxBytes: number): Held[] {
    const taken: Held[] = []
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

  /** Frees the room of events and bytes in flight that are delivered, refused or dropped. */
  settle(events: number, bytes: number): void {
    this.#inFlightEvents -= events
    this.#inFlightBytes -= bytes
  }

  /** Removes the oldest waiting part that is no record of losses; undefined when there is none. What is in flight is never dropped here. */
  dropOldest(): Encoded | undefined {
    let at = this.#head
    while (this.#slots[at]?.losses === true) at++
    const oldest = this.#slots[at]
    if (oldest === undefined) return undefined
    // What is passed over moves up by one place.
    this.#slots.copyWithin(this.#head + 1, this.#head, at)
    this.#shift(oldest)
    return oldest.part
  }

  /** Removes all that waits, oldest first. */
  takeBack(): Held[] {
    const waiting = this.#slots.slice(this.#head).filter((held) => held !== undefined)
    this.#slots = []
    this.#head = 0
    this.#waitingEvents = 0
    this.#waitingBytes = 0
    return waiting
  }

  /** Events waiting, counted one part after the other: the auditor's count, not the running one. */
  recount(): number {
    return this.#slots.reduce((sum, held) => sum + (held?.part.count ?? 0), 0)
  }

  #shift(head: Held): void {
    this.#slots[this.#head++] = undefined
    this.#waitingEvents -= head.part.count
    this.#waitingBytes -= head.part.bytes.length
    if (this.#head === this.#slots.length || (this.#head >= COMPACT_AT && this.#head * 2 >= this.#slots.length)) {
      this.#slots = this.#slots.slice(this.#head)
      this.#head = 0
    }
  }
}
