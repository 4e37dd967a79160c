/**
 * Values of Equal and Prefix as entries of the map `texts` (bpf/frame/texts.h). A key of a prefix tree holds 252 bytes, so a longer value stands in
 * several: each part but the last names the tree that has the next one.
 */
import { TEXT_KEY_BYTES } from '../../wire/wire.ts'

/** A value, or a part of one. */
export interface TextEntry {
  /** The filter, or the tree of a further part. */
  readonly filter: number
  readonly bytes: Buffer
  /** Length of the longest value that begins the text of the key and the keys before it; 0 for none. */
  len: number
  /** The tree of the next part; 0 for none. */
  next: number
}

/** The entries of a filter's values, none of them empty. `newTree` returns numbers that no filter has. */
export function textEntries(filter: number, values: readonly Buffer[], newTree: () => number): TextEntry[] {
  const entries = new Map<string, TextEntry>()
  const at = (tree: number, bytes: Buffer): TextEntry => {
    const key = `${tree} ${bytes.toString('latin1')}`
    const entry = entries.get(key) ?? { filter: tree, bytes, len: 0, next: 0 }
    entries.set(key, entry)
    return entry
  }
  for (const value of values) {
    let tree = filter
    let from = 0
    for (; value.length - from > TEXT_KEY_BYTES; from += TEXT_KEY_BYTES) {
      const end = from + TEXT_KEY_BYTES
      const part = at(tree, value.subarray(from, end))
      if (part.next === 0) {
        part.next = newTree()
        part.len = longestBeginning(values, value.subarray(0, end))
      }
      tree = part.next
    }
    at(tree, value.subarray(from)).len = value.length
  }
  return [...entries.values()]
}

/** Length of the longest value that begins the text. */
function longestBeginning(values: readonly Buffer[], text: Buffer): number {
  let longest = 0
  for (const { length } of values.filter((value) => text.subarray(0, value.length).equals(value))) {
    if (length > longest) longest = length
  }
  return longest
}
