/**
 * A map that the agent alone writes, again and again, so it cannot be frozen. Its entries are kept here too: each check compares a part of
 * both, in turn, and repairs entries that other processes have removed, changed or added. An emptied map is found by the first check.
 */
import { plural } from '../../../config/base/counts.ts'
import { NativeError } from '../../../native/index.ts'
import type { BpfMap } from '../../../native/types.ts'
import { attempt } from './attempt.ts'
import type { Finding } from './finding.ts'

/** Entries a check: some 2 µs each. */
const ENTRIES = 64
/** Entries after a check that found something. */
const ENTRIES_AFTER = 2048

export class KeptMap {
  readonly #map: Pick<BpfMap, 'info' | 'lookupAll' | 'update' | 'delete' | 'part'>
  readonly #kept = new Map<string, Buffer>()
  #turn: MapIterator<[string, Buffer]> | undefined
  #from: Buffer | undefined
  #additions: boolean
  #suspicious = false
  /** Changes by others that the agent's own writes have met since the last check: no comparison finds them any more. */
  #overwritten = 0

  /** `additions`: whether others can add entries that matter; not to an array. */
  constructor(map: Pick<BpfMap, 'info' | 'lookupAll' | 'update' | 'delete' | 'part'>, { additions = true } = {}) {
    this.#map = map
    this.#additions = additions
  }

  update(key: Uint8Array, value: Uint8Array): boolean {
    const text = textOf(key)
    const kept = this.#kept.get(text)
    const changed = kept !== undefined && this.#map.lookupAll([key])[0]?.equals(kept) !== true
    const done = this.#map.update(key, value)
    if (done) this.#kept.set(text, Buffer.from(value))
    if (done && changed) this.#overwritten++
    return done
  }

  delete(key: Uint8Array): boolean {
    this.#kept.delete(textOf(key))
    return this.#map.delete(key)
  }

  check(): Finding[] {
    if (this.#kept.size === 0) return []
    const entries = this.#suspicious ? ENTRIES_AFTER : ENTRIES
    const wrong = this.#wrong(entries)
    const added = this.#added(entries)
    const changed = wrong.length + this.#overwritten
    this.#overwritten = 0
    this.#suspicious = changed + added.length > 0
    if (!this.#suspicious) return []
    const repaired = this.#repair(wrong, added)
    const got = [
      ...(changed > 0 ? [plural(changed, 'missing or changed entry')] : []),
      ...(added.length > 0 ? [plural(added.length, 'foreign entry')] : []),
    ].join(', ')
    const on = this.#map.info.name
    return [{ kind: 'policy_map_changed', on, expected: 'only entries of the agent', got, repaired }]
  }

  #wrong(entries: number): Array<[string, Buffer]> {
    this.#turn ??= this.#kept.entries()
    const part = [...this.#turn.take(entries)]
    if (part.length < entries) this.#turn = undefined
    const found = this.#map.lookupAll(part.map(([key]) => bytesOf(key)))
    return part.filter(([, kept], i) => found[i]?.equals(kept) !== true)
  }

  #added(entries: number): Buffer[] {
    if (!this.#additions) return []
    try {
      const { keys, count, next } = this.#map.part(entries, this.#from)
      this.#from = next
      const { keySize } = this.#map.info
      const found = Array.from({ length: count }, (_, i) => keys.subarray(i * keySize, (i + 1) * keySize))
      return found.filter((key) => !this.#kept.has(textOf(key)))
    } catch (error) {
      if (!(error instanceof NativeError)) throw error
      // Kernels before 5.13 show no parts of a map of prefixes.
      this.#additions = false
      return []
    }
  }

  /** False if the kernel refuses it: another process has frozen the map. */
  #repair(wrong: ReadonlyArray<readonly [string, Buffer]>, added: readonly Buffer[]): boolean {
    return attempt(() => {
      for (const key of added) this.#map.delete(key)
      for (const [key, kept] of wrong) this.#map.update(bytesOf(key), kept)
    })
  }
}

const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')
