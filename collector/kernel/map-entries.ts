import type { BpfMap } from '../../native/types.ts'

export type Entry = readonly [key: Buffer, value: Buffer]

/** Entries of a hash map, read in parts of about `atOnce`. A permanent entry is seen once; entries may be deleted meanwhile. */
export function* entriesOf(map: Pick<BpfMap, 'info' | 'part'>, atOnce = 1024): Generator<Entry> {
  const { keySize, valueSize } = map.info
  let from: Buffer | undefined
  do {
    const { keys, values, count, next } = map.part(atOnce, from)
    for (let i = 0; i < count; i++) {
      yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize)]
    }
    from = next
  } while (from !== undefined)
}
