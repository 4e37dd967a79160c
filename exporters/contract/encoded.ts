/** Cuts and joins Encoded without copying: every piece is a view of the original bytes. Frees the bytes after the last user. */
import type { Described } from './described.ts'
import type { Batch, Encoded, Encoding } from './exporter.ts'
import type { Lost } from './accounting.ts'

/** Sequence numbers of the first and the last event. */
export type Span = Omit<Lost, 'reason' | 'events'>

/** Limits of a piece in a queue: small enough that one dropped or held piece costs little, large enough for low overhead. */
export const MAX_PART_BYTES: number = 256 << 10
export const MAX_PART_EVENTS = 1000

/** Copies lines, one for each event. */
export function ofLines(encoding: Encoding, lines: readonly Uint8Array[], firstSeq = 0): Encoded {
  let end = 0
  const ends = Uint32Array.from(lines, ({ length }) => (end += length))
  return { encoding, bytes: Buffer.concat(lines, end), ends, count: lines.length, firstSeq }
}

/** Lines `from` up to `to` (exclusive) as an Encoded. It takes over the whole's use of the memory. */
export function slice(whole: Encoded, from: number, to: number): Encoded {
  if (from === 0 && to === whole.count) return whole
  const start = endOf(whole, from)
  const ends = whole.ends.slice(from, to)
  for (let i = 0; i < ends.length; i++) ends[i] = (ends[i] ?? 0) - start
  const bytes = whole.bytes.subarray(start, endOf(whole, to))
  const piece: Encoded = {
    encoding: whole.encoding,
    bytes,
    ends,
    count: to - from,
    firstSeq: whole.firstSeq + from,
    ...(whole.number === undefined ? {} : { number: whole.number + from }),
    ...(whole.memory === undefined ? {} : { memory: whole.memory }),
  }
  if (!isDescribed(whole)) return piece
  const described: Described = {
    ...piece,
    firstSeq: whole.seqs[from] ?? piece.firstSeq,
    abouts: whole.abouts.slice(from, to),
    times: whole.times.slice(from, to),
    seqs: whole.seqs.slice(from, to),
    ...(whole.epoch === undefined ? {} : { epoch: whole.epoch }),
  }
  return described
}

/** Cuts at line ends into pieces within both limits. A line larger than `maxBytes` becomes a piece of its own. */
export function split(whole: Encoded, maxBytes: number, maxEvents: number): readonly Encoded[] {
  if (whole.count === 0) return []
  if (whole.bytes.length <= maxBytes && whole.count <= maxEvents) return [whole]
  const parts: Encoded[] = []
  for (let from = 0; from < whole.count;) {
    const to = Math.max(from + 1, fitting(whole, from, maxBytes, maxEvents))
    parts.push(slice(whole, from, to))
    from = to
  }
  whole.memory?.hold(parts.length - 1)
  return parts
}

/** The largest `to` such that lines `from`..`to` take at most `maxBytes` and `maxEvents`; `from` if no line fits. */
export function fitting(whole: Encoded, from: number, maxBytes: number, maxEvents: number): number {
  const limit = endOf(whole, from) + maxBytes
  let low = from
  let high = Math.min(whole.count, from + maxEvents)
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if (endOf(whole, middle) <= limit) low = middle
    else high = middle - 1
  }
  return low
}

/** Where line `index` begins: the end of the line before. */
export function endOf(whole: Encoded, index: number): number {
  return index === 0 ? 0 : (whole.ends[index - 1] ?? 0)
}

/** Joins parts, in order, for one call of `send`. */
export function batchOf(parts: readonly Encoded[]): Batch {
  let count = 0
  let sizeBytes = 0
  for (const part of parts) {
    count += part.count
    sizeBytes += part.bytes.length
  }
  return { parts, count, sizeBytes }
}

/** Sequence numbers of the first and the last event; undefined for no events or events of two agent runs. */
export function spanOf({ parts }: Pick<Batch, 'parts'>): Span | undefined {
  const [first, last] = [parts[0], parts.at(-1)]
  return first === undefined || last === undefined ? undefined : spanBetween(first, 0, last, last.count - 1)
}

/** `spanOf` the events of a batch at the given indexes. */
export function spanOfSome({ parts }: Pick<Batch, 'parts'>, which: readonly number[]): Span | undefined {
  const ascending = which.toSorted((a, b) => a - b)
  const [first, last] = [placeOf(parts, ascending[0]), placeOf(parts, ascending.at(-1))]
  return first && last && spanBetween(first.part, first.index, last.part, last.index)
}

function spanBetween(first: Encoded, from: number, last: Encoded, to: number): Span | undefined {
  const epoch = epochOf(first)
  if (epochOf(last) !== epoch) return undefined
  const seqs = { firstSeq: seqAt(first, from), lastSeq: seqAt(last, to), ...(epoch === undefined ? {} : { epoch }) }
  if (first.number === undefined || last.number === undefined) return seqs
  return { ...seqs, numbers: { first: first.number + from, last: last.number + to } }
}

function placeOf(
  parts: readonly Encoded[],
  index: number = Infinity,
): { readonly part: Encoded; readonly index: number } | undefined {
  let left = index
  for (const part of parts) {
    if (left < part.count) return { part, index: left }
    left -= part.count
  }
  return undefined
}

/** The agent run of its events; undefined for this one. */
export function epochOf(part: Encoded): string | undefined {
  return isDescribed(part) ? part.epoch : undefined
}

function seqAt(part: Encoded, index: number): number {
  return (isDescribed(part) ? part.seqs[index] : undefined) ?? part.firstSeq + index
}

export function isDescribed(encoded: Encoded): encoded is Described {
  return 'abouts' in encoded
}

/**
 * Reference-counted bytes, freed when the last user calls `done` instead of at the next garbage collection: V8 underestimates
 * the size of buffers and lets tens of MB accumulate.
 * Call `done` only when no thread and no system call can still read the bytes. Not calling it is safe: the garbage collector
 * then frees them.
 */
export class Memory {
  readonly #bytes: Uint8Array
  #users: number

  /** Only bytes that are a whole allocation are freed. `users`: initial number of users. */
  constructor(bytes: Uint8Array, users = 0) {
    this.#bytes = bytes
    this.#users = users
  }

  /** Adds users. */
  hold(more = 1): void {
    this.#users += more
  }

  /** Removes one user. After the last, the bytes and all views of them have length 0. */
  done(): void {
    if (--this.#users !== 0) return
    const { buffer, byteOffset, length } = this.#bytes
    // Not a part of Node's pool. Decompression may leave one spare byte.
    const alone = byteOffset === 0 && buffer.byteLength - length <= 1
    if (alone && buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}
