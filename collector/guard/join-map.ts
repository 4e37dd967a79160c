/**
 * Checks the kernel's maps of calls that wait for their return (`join`, `pending`): they must have the calls whose events the agent holds,
 * and no return that the ring had room for. Each call that leaves them is reported to the agent; without a report, others removed it.
 */
import type { PendingCall } from '../wire/decode.ts'
import { callKey } from '../kernel/joins.ts'
import type { Finding } from '../kernel/watched/finding.ts'

export interface JoinMapOptions {
  /** Calls whose events are held and that one of the maps has. */
  readonly pending: { kept(): Iterable<PendingCall>; has(call: PendingCall): boolean }
  /** Calls in the maps, as `callKey` has them. */
  readonly inMaps: () => ReadonlySet<string>
  /** Number of times that the ring was empty and all ends were known. */
  readonly emptied: () => number
  /** Numbers of returns from the map instead of the ring, and of returns that the ring refused. */
  readonly fromMap: () => number
  readonly refused: () => number
  /** Sends the events of a call without a return value. */
  readonly end: (call: PendingCall) => void
}

export class JoinMapCheck {
  readonly #options: JoinMapOptions
  /** Calls that were held at the last check, but not in the map: their ends may have been on the way. */
  #suspects: PendingCall[] = []
  #emptied = 0
  #forgedBefore = 0
  #forged = 0

  constructor(options: JoinMapOptions) {
    this.#options = options
  }

  check(): Finding[] {
    return [...this.#missing(), ...this.#tooMany()]
  }

  #missing(): Finding[] {
    const { pending, emptied, end } = this.#options
    const now = emptied()
    if (this.#suspects.length > 0 && now === this.#emptied) return []
    let gone = 0
    for (const call of this.#suspects) {
      // A call is listed once for each event.
      if (!pending.has(call)) continue
      end(call)
      gone++
    }
    this.#suspects = []
    this.#emptied = now
    const held = [...pending.kept()]
    if (held.length > 0) {
      const inMaps = this.#options.inMaps()
      this.#suspects = held.filter((call) => !inMaps.has(callKey(call)))
    }
    return gone === 0 ? [] : [finding('the calls that wait for their return', `missing or changed entries of ${gone}`)]
  }

  /** Only after two checks in a row, because refusals may be counted later than their returns are found. */
  #tooMany(): Finding[] {
    const now = this.#options.fromMap() - this.#options.refused()
    const sure = Math.min(now, this.#forgedBefore)
    this.#forgedBefore = now
    if (sure <= this.#forged) return []
    const more = sure - this.#forged
    this.#forged = sure
    return [finding('only returns that the ring refused', `${more} others`)]
  }
}

const finding = (expected: string, got: string): Finding => ({
  kind: 'join_map_changed',
  on: 'join',
  expected,
  got,
  repaired: true,
})
