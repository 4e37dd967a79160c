import type { Encoded } from '../contract/exporter.ts'
import type { InFlightBatch } from './in-flight-batch.ts'
import type { Held } from './queue.ts'

/** Waits to be written. A copy is of a flight that is still under way: held and counted there, not here. */
export interface Waiting {
  readonly held: Held
  readonly copyOf: InFlightBatch | undefined
}

/** What waits in memory to be written to the spool, oldest first. Copies do not count. */
export class PendingWrites {
  #waiting: Waiting[] = []
  /** Of these, the first so many are being written now. */
  #writing = 0
  #events = 0
  #bytes = 0

  get events(): number {
    return this.#events
  }

  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Somebody writes its head; it must not change there. */
  get isWriting(): boolean {
    return this.#writing > 0
  }

  /** Events counted one part after the other: the auditor's count, not the running one. */
  recount(): number {
    return this.#waiting.reduce((sum, { held, copyOf }) => sum + (copyOf === undefined ? held.part.count : 0), 0)
  }

  add(held: Held): void {
    this.#waiting.push({ held, copyOf: undefined })
    this.#events += held.part.count
    this.#bytes += held.part.bytes.length
  }

  addCopy(held: Held, copyOf: InFlightBatch): void {
    held.part.memory?.hold()
    this.#waiting.push({ held, copyOf })
  }

  hasCopyOf(inFlightBatch: InFlightBatch): boolean {
    return this.#waiting.some(({ copyOf }) => copyOf === inFlightBatch)
  }

  /** The head, at most `parts` of it, which `end` takes off or gives back. Copies of what is settled fall away. */
  begin(parts: number): readonly Waiting[] {
    this.#waiting = this.#waiting.filter(({ copyOf }) => copyOf === undefined || copyOf.count > 0)
    const head = this.#waiting.slice(0, parts)
    this.#writing = head.length
    return head
  }

  /** The first `parts` of what `begin` gave are written: they leave. */
  end(parts: number): void {
    this.#writing = 0
    this.#remove(0, parts)
  }

  /** Removes parts from the head while `take` takes them; returns how many went. */
  takeWhile(take: (waiting: Waiting) => boolean): number {
    const stop = this.#waiting.findIndex((waiting) => !take(waiting))
    return this.#remove(0, stop < 0 ? this.#waiting.length : stop).length
  }

  /** Removes the oldest part that is not being written and is no record of losses; undefined when there is none. */
  dropOldest(): Encoded | undefined {
    const at = this.#waiting.findIndex(
      ({ held, copyOf }, i) => i >= this.#writing && copyOf === undefined && held.losses !== true,
    )
    return at < 0 ? undefined : this.#remove(at, 1)[0]?.held.part
  }

  clear(): void {
    this.#remove(0, this.#waiting.length)
  }

  #remove(at: number, parts: number): Waiting[] {
    const gone = this.#waiting.splice(at, parts)
    for (const { held, copyOf } of gone) {
      if (copyOf !== undefined) continue
      this.#events -= held.part.count
      this.#bytes -= held.part.bytes.length
    }
    return gone
  }
}
