/** Sizes of the maps of bpf/match/identities.h. */
import type { KernelFacts } from '../facts.ts'
import { BPF_F_NO_PREALLOC, atLeast } from '../facts.ts'

/** Files and folders that left folders of sticky filters (docs/reference/policy/files-by-identity.md has the number). The map takes all its memory, a megabyte, at once. */
const LEFT_MAX = 8192
/** Watched files that lose their last name between two checks. More match as before, if another file gets their number. */
const GONE_MAX = 1024

/** Entries of maps that grow; others take all their memory at once. */
export function sizesOf(facts: KernelFacts): { mapSizes: Record<string, number>; mapFlags: Record<string, number> } {
  const grow = atLeast(facts, 6, 1)
  const flags = BPF_F_NO_PREALLOC
  return {
    mapSizes: {
      identities: grow ? 32_768 : 8192,
      identity_names: grow ? 32_768 : 4096,
      linked: grow ? 262_144 : 16_384,
      left_files: LEFT_MAX,
      gone_files: GONE_MAX,
      identity_screen: 1,
      linked_news: 1,
      file_walks: 2,
    },
    mapFlags: grow ? { identities: flags, identity_names: flags, linked: flags } : {},
  }
}
