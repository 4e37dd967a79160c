/** Places where overlayfs keeps the files of its layers: `struct overlay_places` of bpf/frame/filter.h. */
import type { KernelMember } from '../../../native/types.ts'
import { OVERLAY_PLACES, OVERLAY_STEPS } from '../../wire/wire.ts'

const INODE = 'ovl_inode vfs_inode'
const UPPER = 'ovl_inode __upperdentry'
/** The lower file's inode, by version: since 6.5 (kernel commit 0af950f57fef), since 6.0 (ffa5723c6d25), and before. */
const LOWER = [
  'ovl_inode oe.__lowerstack[0].dentry.d_inode',
  'ovl_inode lowerpath.dentry.d_inode',
  'ovl_inode lower',
] as const

/** Nothing is known while the module is not loaded: all 0. */
export async function overlayPlaces(
  kernelMembers: (paths: readonly string[]) => Promise<readonly KernelMember[]>,
): Promise<Buffer> {
  const bytes = Buffer.alloc(OVERLAY_PLACES.bytes)
  const [inode, upper, ...lowers] = await kernelMembers([INODE, UPPER, ...LOWER])
  const lower = lowers.find(({ problem }) => problem === '')
  const [from, to] = [offsetOf(inode), offsetOf(upper)]
  if (from === undefined || to === undefined || lower === undefined || to < from) return bytes
  const [first = 0, ...others] = lower.offsets
  const steps = [first - from, ...others]
  if (first < from || steps.length > OVERLAY_STEPS) return bytes
  bytes.writeUInt32LE(to - from, OVERLAY_PLACES.upper)
  bytes.writeUInt32LE(steps.length, OVERLAY_PLACES.steps)
  steps.forEach((step, i) => bytes.writeUInt32LE(step, OVERLAY_PLACES.lower + 4 * i))
  return bytes
}

const offsetOf = (member: KernelMember | undefined): number | undefined =>
  member?.problem === '' ? member.offsets[0] : undefined
