/**
 * The cache of what encoders, filters and redactors keep with processes. Bounded in bytes; the least recently used entries are evicted first.
 *
 * Constraint: a hit costs one comparison of numbers and touches no list. Hence two generations: used entries are young. When the young ones
 * take more than half of the limit, the old ones are evicted and the young ones become old. An old entry that is used becomes young again,
 * at most once per generation.
 */
import type { Rendered, RenderingCache, RenderingSlot } from '../../exporters/contract/event.ts'

/** Overhead of a typed array: object, buffer and malloc (measured: test/bench/processes.bench.ts). */
export const ARRAY_BYTES = 260
/** An entry larger than this part of the limit is not cached, so the four slots of a process take at most a quarter. */
const LARGEST = 16

interface Generation {
  readonly members: Set<Rendered>
  bytes: number
}

const empty = (): Generation => ({ members: new Set(), bytes: 0 })

export class Renderings implements RenderingCache {
  generation = 1
  #limit: number
  #young = empty()
  #old = empty()
  /** Processes whose entries were evicted. */
  evicted = 0

  constructor(limitBytes: number) {
    this.#limit = limitBytes
  }

  /** Charged bytes; never above the limit. */
  get bytes(): number {
    return this.#young.bytes + this.#old.bytes
  }

  get limit(): number {
    return this.#limit
  }

  /** A smaller limit evicts at once. */
  set limit(bytes: number) {
    this.#limit = bytes
    while (this.bytes > bytes) this.#age()
  }

  /** Renderings of a new process. */
  make(): Rendered {
    return {
      json: undefined,
      jsonParent: undefined,
      otlp: undefined,
      otlpParent: undefined,
      key: {},
      used: this.generation,
      bytes: 0,
      copies: undefined,
      cache: this,
    }
  }

  forCopy(rendered: Rendered): Rendered {
    const made = this.make()
    rendered.copies = [...(rendered.copies ?? []), made]
    return made
  }

  use(rendered: Rendered): void {
    rendered.used = this.generation
    if (!this.#old.members.delete(rendered)) return
    this.#old.bytes -= rendered.bytes
    this.#add(rendered, rendered.bytes)
  }

  keep(rendered: Rendered, slot: RenderingSlot, bytes: Uint8Array): Uint8Array {
    if (this.#charged(rendered, bytes.length + ARRAY_BYTES)) rendered[slot] = bytes
    return bytes
  }

  charge(rendered: Rendered, bytes: number): void {
    this.#charged(rendered, bytes)
  }

  #charged(rendered: Rendered, bytes: number): boolean {
    if (bytes > this.#limit / LARGEST) return false
    if (rendered.used !== this.generation) this.use(rendered)
    rendered.bytes += bytes
    this.#add(rendered, bytes)
    // If the limit has become small, `#add` may have evicted the entry itself.
    return rendered.bytes > 0
  }

  /** Adds bytes of an entry that is not old. */
  #add(rendered: Rendered, bytes: number): void {
    this.#young.members.add(rendered)
    this.#young.bytes += bytes
    while (this.#young.bytes > this.#limit / 2 || this.bytes > this.#limit) {
      this.#age()
      if (!this.#old.members.has(rendered)) return
      // The entry was used last, so it stays young.
      this.#old.members.delete(rendered)
      this.#old.bytes -= rendered.bytes
      rendered.used = this.generation
      if (rendered.bytes > this.#limit / 2) return clear(rendered)
      this.#young.members.add(rendered)
      this.#young.bytes += rendered.bytes
    }
  }

  /** Drops the entries of a process that is gone, and of its copies. */
  drop(rendered: Rendered): void {
    if (this.#young.members.delete(rendered)) this.#young.bytes -= rendered.bytes
    else if (this.#old.members.delete(rendered)) this.#old.bytes -= rendered.bytes
    const { copies } = rendered
    clear(rendered)
    if (copies !== undefined) for (const copy of copies) this.drop(copy)
  }

  /** All charged entries, for tests. */
  members(): Rendered[] {
    return [...this.#young.members, ...this.#old.members]
  }

  #age(): void {
    const { members } = this.#old
    this.#old = this.#young
    this.#young = empty()
    this.generation++
    for (const rendered of members) {
      this.evicted++
      const { copies } = rendered
      clear(rendered)
      // The copies belong to the old key and cannot be found any more.
      if (copies !== undefined) for (const copy of copies) this.drop(copy)
    }
  }
}

function clear(rendered: Rendered): void {
  rendered.json = rendered.jsonParent = rendered.otlp = rendered.otlpParent = undefined
  rendered.key = {}
  rendered.copies = undefined
  rendered.bytes = 0
}
