/**
 * Format `extended`: data of an event that Tetragon's records have no key for, as members of a last key `ktrail`
 * (docs/reference/records/extended.md). Some of it needs no more data from the kernel; `details` are present only if an exporter requests them.
 */
import { isHookEvent } from '../contract/event.ts'
import type { Event, FileArgument, StringArgument } from '../contract/event.ts'
import type { AskedHash, FileDetails, FileHash } from '../contract/file-details.ts'
import { isoTime } from '../runtime/iso-time.ts'
import { accessPlan, fileAccess, isRefused } from './files/access.ts'

/** Whether field filters leave the names of files in records of this type. */
export type KeepsNames = (type: Event['type']) => boolean

const MINOR_BITS = 20

/** `"access":"read","files":[…]`; '' for an event without both. */
export function extendedMembers(event: Event, keepsNames: KeepsNames): string {
  if (!isHookEvent(event) || !keepsNames(event.type)) return ''
  const { hook, args, returned } = event
  const plan = accessPlan(hook)
  const access = fileAccess(plan, args)
  const files = args.flatMap((each, arg) => (each.kind === 'file' ? [fileOf(each, arg)] : []))
  const texts = args.flatMap((each, arg) => (each.kind === 'string' ? textOf(each, arg) : []))
  const denied = isRefused(plan, access, args, returned) || undefined
  return JSON.stringify({ access, denied, files: unlessEmpty(files), texts: unlessEmpty(texts) }).slice(1, -1)
}

/** JSON leaves out members that are undefined. */
const unlessEmpty = <T>(list: readonly T[]): readonly T[] | undefined => (list.length === 0 ? undefined : list)

/** `arg`: the position among the record's arguments. Numbers of 64 bits are texts, as in all of the record. */
function fileOf(file: FileArgument, arg: number): object {
  const { inode, device, deleted, raw, details } = file
  return {
    arg,
    inode: String(inode),
    device: deviceText(device),
    deleted: deleted || undefined,
    partial: unlessEmpty(partialOf(file)),
    path_bytes: raw && base64(raw),
    ...(details && detailsOf(details)),
  }
}

function detailsOf({ named, content, mountId, detached, overlay, hash }: FileDetails): object {
  return {
    named,
    links: content?.links,
    generation: content?.generation,
    size: content && String(content.sizeBytes),
    changed: content?.changed && isoTime(content.changed),
    mount_id: mountId || undefined,
    detached: detached || undefined,
    overlay: overlay && {
      layer: layerOf(overlay),
      inode: String(overlay.inode),
      device: deviceText(overlay.device),
    },
    hash: hash && toldHash(resultOf(hash)),
  }
}

/** The agent stops before it is known. */
export const resultOf = ({ result }: AskedHash): FileHash => result ?? { missing: 'late' }

const toldHash = (hash: FileHash): object =>
  'missing' in hash ? hash : { sha256: hash.sha256, size: String(hash.sizeBytes), changed: isoTime(hash.changed) }

export const layerOf = ({ upper }: { readonly upper: boolean }): 'upper' | 'lower' => (upper ? 'upper' : 'lower')

/** The kernel's number of a device as `major:minor`. */
export const deviceText = (device: number): string => `${device >>> MINOR_BITS}:${device & ((1 << MINOR_BITS) - 1)}`

/** Why the path is or may be incomplete; empty if it is whole. */
export function partialOf({ unresolved, unstable, details }: FileArgument): readonly string[] {
  return [
    ...(unresolved ? ['too_deep_or_long'] : []),
    ...(unstable ? ['renamed_while_read'] : []),
    ...(details?.detached === true ? ['detached_mount'] : []),
  ]
}

function textOf({ raw, truncated }: StringArgument, arg: number): object[] {
  if (raw === undefined && !truncated) return []
  return [{ arg, truncated: truncated || undefined, bytes: raw && base64(raw) }]
}

/** Text for bytes that are not valid UTF-8. */
export const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
