/**
 * What encoders, filters and redactors keep with processes, bounded in bytes all together; what was used least recently goes first.
 *
 * Constraint: an event costs a comparison of numbers, no list is touched. So there are two generations: what is used is young.
 * When the young ones take more than half of the limit, the old ones go, and the young ones are the old ones from then on.
 * What is used again becomes young again, once a generation.
 */
import type { Rendered, RenderingCache, RenderingSlot } from '../../exporters/contract/event.ts'

/** A typed array with its buffer and what malloc adds, beside its bytes (measured: test/bench/processes.bench.ts). */
export const ARRAY_BYTES = 260
/** So many of the largest that are kept fit in: the four slots of a process never take more than a quarter. */
const LARGEST = 16

/** One generation: who has something, and how much that is. */
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
  /** Processes that lost what was kept with them for want of room. */
  evicted = 0

  constructor(limitBytes: number) {
    this.#limit = limitBytes
  }

  /** Bytes charged now; never above the limit. */
  get bytes(): number {
    return this.#young.bytes + this.#old.bytes
  }

  get limit(): number {
    return this.#limit
  }

  /** A smaller one takes effect at once. */
  set limit(bytes: number) {
    this.#limit = bytes
    while (this.bytes > bytes) this.#age()
  }

  /** For a new process. */
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
    // Room may have been made of itself, in a limit that has become small.
    return rendered.bytes > 0
  }

  /** Adds bytes of an entry that is not old. */
  #add(rendered: Rendered, bytes: number): void {
    this.#young.members.add(rendered)
    this.#young.bytes += bytes
    while (this.#young.bytes > this.#limit / 2 || this.bytes > this.#limit) {
      this.#age()
      if (!this.#old.members.has(rendered)) return
      // It is what was used last.
      this.#old.members.delete(rendered)
      this.#old.bytes -= rendered.bytes
      rendered.used = this.generation
      if (rendered.bytes > this.#limit / 2) return clear(rendered)
      this.#young.members.add(rendered)
      this.#young.bytes += rendered.bytes
    }
  }

  /** Forgets what is kept with a process that is gone, and with its copies. */
  drop(rendered: Rendered): void {
    if (this.#young.members.delete(rendered)) this.#young.bytes -= rendered.bytes
    else if (this.#old.members.delete(rendered)) this.#old.bytes -= rendered.bytes
    const { copies } = rendered
    clear(rendered)
    if (copies !== undefined) for (const copy of copies) this.drop(copy)
  }

  /** Everything that is charged, for tests. */
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
      // Its key is another one: nobody finds them any more.
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
