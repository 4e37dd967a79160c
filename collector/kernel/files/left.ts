/** Files that left the folders of sticky filters (`left_files` of bpf/match/above.h). Only the kernel side adds to them. */
import type { BpfMap } from '../../../native/types.ts'
import { IDENTITY, IDENTITY_FILTERS } from '../../wire/wire.ts'

/** Entries read at once. */
const ENTRIES_AT_ONCE = 1024

/** Takes these bits out of all entries: they were other filters' before. */
export function forgetLeft(map: Pick<BpfMap, 'part' | 'update' | 'delete'>, filters: bigint): void {
  let from: Buffer | undefined
  do {
    const { keys, values, count, next } = map.part(ENTRIES_AT_ONCE, from)
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * IDENTITY.bytes, (i + 1) * IDENTITY.bytes)
      const value = Buffer.from(values.subarray(i * IDENTITY_FILTERS.bytes, (i + 1) * IDENTITY_FILTERS.bytes))
      const before = value.readBigUInt64LE(IDENTITY_FILTERS.below)
      if ((before & filters) === 0n) continue
      value.writeBigUInt64LE(before & ~filters, IDENTITY_FILTERS.below)
      if ((before & ~filters) === 0n) map.delete(key)
      else map.update(key, value)
    }
    from = next
  } while (from !== undefined)
}
