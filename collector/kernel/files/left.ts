/** Files that left the folders of sticky filters (`left_files` of bpf/match/identities.h). Only the kernel side adds to them. */
import type { BpfMap } from '../../../native/types.ts'
import { IDENTITY_FILTERS } from '../../wire/wire.ts'
import { entriesOf } from '../map-entries.ts'

const ENTRIES_AT_ONCE = 1024

/** Clears these bits in all entries: they were other filters' before. */
export function forgetLeft(map: Pick<BpfMap, 'info' | 'part' | 'update' | 'delete'>, filters: bigint): void {
  for (const [key, entry] of entriesOf(map, ENTRIES_AT_ONCE)) {
    const before = entry.readBigUInt64LE(IDENTITY_FILTERS.below)
    if ((before & filters) === 0n) continue
    const value = Buffer.from(entry)
    value.writeBigUInt64LE(before & ~filters, IDENTITY_FILTERS.below)
    if ((before & ~filters) === 0n) map.delete(key)
    else map.update(key, value)
  }
}
