/** `struct file_details` of bpf/event.h. */
import type { Timestamp } from '../../../exporters/contract/event.ts'
import type { FileDetails } from '../../../exporters/contract/file-details.ts'
import { exact } from '../../wire/values.ts'
import { DETAIL_DETACHED, DETAIL_OVERLAY, DETAIL_UPPER, FILE_DETAILS, NAMED_MAX } from '../../wire/wire.ts'

/** Details of files that a hook requests besides their paths. */
export interface AskedDetails {
  readonly named: NamedPath
  /** Largest size of a file whose content is hashed. */
  readonly hashMaxBytes: number | undefined
}

/** The path with a number, if the hook's policy names it. */
export type NamedPath = (number: number) => string | undefined

/** The years 1 to 9999 in seconds since 1970. A file system may have any number. */
const FIRST_SEC = -62_135_596_800n
const LAST_SEC = 253_402_300_799n
const NSEC_PER_SEC = 1_000_000_000

const dateOf = (sec: bigint, nsec: number): Timestamp | undefined =>
  sec < FIRST_SEC || sec > LAST_SEC || nsec >= NSEC_PER_SEC ? undefined : { sec: Number(sec), nsec }

/** `isThere`: the name leads to a file. */
export function fileDetails(
  bytes: Buffer,
  at: number,
  isThere: boolean,
  { named, hashMaxBytes: maxBytes }: AskedDetails,
): FileDetails {
  const word = (offset: number): number => bytes.readUInt32LE(at + offset)
  const wide = (offset: number): bigint | number => exact(word(offset), word(offset + 4))
  const flags = word(FILE_DETAILS.flags)
  let path: string | undefined
  for (let i = 0; i < NAMED_MAX && path === undefined; i++) path = named(word(FILE_DETAILS.named + 4 * i))
  return {
    content: isThere
      ? {
          sizeBytes: wide(FILE_DETAILS.size),
          changed: dateOf(bytes.readBigInt64LE(at + FILE_DETAILS.changedSec), word(FILE_DETAILS.changedNsec)),
          generation: word(FILE_DETAILS.generation),
          links: word(FILE_DETAILS.links),
        }
      : undefined,
    mountId: word(FILE_DETAILS.mountId),
    detached: (flags & DETAIL_DETACHED) !== 0,
    overlay:
      (flags & DETAIL_OVERLAY) === 0
        ? undefined
        : {
            upper: (flags & DETAIL_UPPER) !== 0,
            inode: wide(FILE_DETAILS.realIno),
            device: word(FILE_DETAILS.realDev),
          },
    named: path,
    hash: maxBytes !== undefined && isThere ? { maxBytes, result: undefined } : undefined,
  }
}
