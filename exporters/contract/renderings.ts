/**
 * Encoders, filters and redactors render a process once and keep the result here. The process table makes one `Rendered` for each process and
 * drops it when the process changes; it never reads it. Bounded in bytes; the least recently used entries are evicted first.
 *
 * Constraint: a hit costs one comparison of numbers and touches no list. Hence two generations: used entries are young. When the young ones
 * take more than half of the limit, the old ones are evicted and the young ones become old. An old entry that is used becomes young again,
 * at most once per generation.
 */

/** Overhead of a typed array: object, buffer and malloc (measured: test/bench/processes.bench.ts). */
export const ARRAY_BYTES = 260
/** An entry larger than this part of the limit is not cached, so the five slots of a process take at most a third. */
const LARGEST = 16

/** The processes of a call in JSON: values that differ between calls of a process, and the bytes once two calls in a row had the same. */
export interface Caller {
  readonly start: Uint8Array
  readonly parent: Uint8Array | undefined
  readonly refcnt: number
  readonly tid: number
  readonly bytes?: Uint8Array
}

/** Renderings of one process. A slot may become empty at any time; only the encoder that owns it uses it. */
export class Rendered {
  /** `exporters/encoding/json-process.ts`: the JSON object from `{` up to refcnt and tid, and the whole `,"parent":{…}`. */
  json: Uint8Array | undefined
  jsonParent: Uint8Array | undefined
  /** `exporters/encoding/json-process.ts`: of the last call. */
  caller: Caller | undefined
  /** `exporters/encoding/otlp/encode.ts`: attributes as an event's own process, and as a parent. */
  otlp: Uint8Array | undefined
  otlpParent: Uint8Array | undefined
  /** WeakMap key for the results of filters and redactors. Replaced to discard them. */
  key: object = {}
  /** Cache generation of the last use. */
  used: number
  /** Bytes counted for it in the cache. */
  bytes = 0
  /** Renderings of copies of the process: redacted, or by another user. Removed together with this one. */
  copies: Rendered[] | undefined
  readonly #cache: Renderings

  constructor(cache: Renderings) {
    this.#cache = cache
    this.used = cache.generation
  }

  /** Records a use, once per generation. Call it before reading a slot or the key. */
  touch(): this {
    if (this.used !== this.#cache.generation) this.#cache.use(this)
    return this
  }

  /** Stores the bytes in their slot if there is memory for them; returns them. */
  keep(slot: 'json' | 'jsonParent' | 'otlp' | 'otlpParent', bytes: Uint8Array): Uint8Array {
    if (this.charge(bytes.length + ARRAY_BYTES)) this[slot] = bytes
    return bytes
  }

  /** Stores the bytes of the last call if there is memory for them. */
  keepCaller(bytes: Uint8Array): void {
    if (this.charge(bytes.length + ARRAY_BYTES) && this.caller !== undefined) this.caller = { ...this.caller, bytes }
  }

  /** Forgets the bytes of the call before. */
  nextCaller(next: Caller): void {
    if (this.caller?.bytes !== undefined) this.charge(-this.caller.bytes.length - ARRAY_BYTES)
    this.caller = next
  }

  /** Counts memory that a filter or redactor keeps under `key`; false if there is none. */
  charge(bytes: number): boolean {
    return this.#cache.charge(this, bytes)
  }

  /** For a copy of the process. `before`: of the copy that it replaces. */
  copy(before?: Rendered): Rendered {
    const made = this.#cache.make()
    before?.drop()
    this.copies = [...(this.copies ?? []).filter((each) => each !== before), made]
    return made
  }

  /** The process has changed or is gone. */
  drop(): void {
    this.#cache.drop(this)
  }

  /** Only for the cache, which no longer counts it. */
  clear(): void {
    const { copies } = this
    this.json = this.jsonParent = this.caller = this.otlp = this.otlpParent = this.copies = undefined
    this.key = {}
    this.bytes = 0
    // They belong to the old key and cannot be found any more.
    if (copies !== undefined) for (const copy of copies) copy.drop()
  }
}

interface Generation {
  readonly members: Set<Rendered>
  bytes: number
}

const empty = (): Generation => ({ members: new Set(), bytes: 0 })

export class Renderings {
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
    return new Rendered(this)
  }

  use(rendered: Rendered): void {
    rendered.used = this.generation
    if (!this.#old.members.delete(rendered)) return
    this.#old.bytes -= rendered.bytes
    this.#add(rendered, rendered.bytes)
  }

  charge(rendered: Rendered, bytes: number): boolean {
    if (bytes > this.#limit / LARGEST) return false
    rendered.touch()
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
      if (rendered.bytes > this.#limit / 2) return rendered.clear()
      this.#young.members.add(rendered)
      this.#young.bytes += rendered.bytes
    }
  }

  drop(rendered: Rendered): void {
    if (this.#young.members.delete(rendered)) this.#young.bytes -= rendered.bytes
    else if (this.#old.members.delete(rendered)) this.#old.bytes -= rendered.bytes
    rendered.clear()
  }

  #age(): void {
    const { members } = this.#old
    this.#old = this.#young
    this.#young = empty()
    this.generation++
    for (const rendered of members) {
      this.evicted++
      rendered.clear()
    }
  }
}
