import type { BpfMap } from '../../native/types.ts'

export type Entry = readonly [key: Buffer, value: Buffer]

/** The bytes of a struct of wire.ts. A member that is a number is written as u32, a bigint as u64; members left out are 0. */
export function structBytes<Layout extends Readonly<Record<'bytes', number>>>(
  layout: Layout,
  members: { readonly [Name in Exclude<keyof Layout, 'bytes'>]?: number | bigint | Uint8Array },
): Buffer {
  const struct = Buffer.alloc(layout.bytes)
  for (const [name, at] of Object.entries<number>(layout)) {
    const value = members[name as Exclude<keyof Layout, 'bytes'>]
    if (typeof value === 'number') struct.writeUInt32LE(value, at)
    else if (typeof value === 'bigint') struct.writeBigUInt64LE(value, at)
    else if (value !== undefined) struct.set(value, at)
  }
  return struct
}

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
