/** What lies in a spool's folder, looked at and not touched. */
import { textOf } from '../../../contract/errors.ts'
import type { Segment } from '../catalog.ts'
import { inParallel, isAccess, readFully, TRIES, withFile } from './file-access.ts'
import type { SpoolFile, SpoolFiles } from './files.ts'
import {
  CURSOR_BYTES,
  decodeCursor,
  decodeHeader,
  FIRST_FRAME,
  foreignVersion,
  segmentName,
  segmentNumber,
} from '../format/format.ts'
import type { StoredCursor } from '../format/format.ts'

/** What a file under the name of a segment turned out to be; `why` is for people. */
export type FoundFile =
  | { readonly is: 'segment'; readonly segment: Segment }
  /** Shorter than a header: the process ended while it made it. */
  | { readonly is: 'torn'; readonly bytes: number }
  /** Its own bytes show that it is spoilt. */
  | { readonly is: 'damaged'; readonly why: string }
  /** The device refuses it, or it is no file of this name: what is in it may be as good as ever. */
  | { readonly is: 'unread'; readonly why: string }
  /** Whole, in the format of another version of ktrail. */
  | { readonly is: 'foreign'; readonly why: string }

/**
 * The segments among these names, by their numbers, ascending. Rejects when one may not be opened or read for a reason that
 * has nothing to do with it (`isAccess`).
 */
export function readSegments(
  dir: string,
  names: readonly string[],
  files: SpoolFiles,
): Promise<ReadonlyArray<FoundFile & { readonly number: number }>> {
  const numbers = names
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .toSorted((a, b) => a - b)
  return inParallel(numbers, async (number) => ({ number, ...(await readSegment(dir, number, files)) }))
}

/** Those that no later segment takes the place of, by the same base or a smaller one. `all` ascends by number. */
export function effective(all: readonly Segment[]): Segment[] {
  let smallest = Infinity
  const kept = all.toReversed().filter(({ header }) => {
    if (header.base >= smallest) return false
    smallest = header.base
    return true
  })
  return kept.toReversed()
}

/** The cursor file's content, or why there is none. Rejects as `readSegments` does. */
export async function loadCursor(dir: string, files: SpoolFiles): Promise<StoredCursor | string> {
  try {
    const bytes = Buffer.alloc(CURSOR_BYTES + 1)
    const got = await withFile(files, `${dir}/cursor`, (file) => readFully(file, bytes, 0))
    return decodeCursor(bytes.subarray(0, got)) ?? `expected ${CURSOR_BYTES} bytes with a valid checksum, got ${got}`
  } catch (error) {
    if (isAccess(error)) throw error
    return textOf(error)
  }
}

async function readSegment(dir: string, number: number, files: SpoolFiles): Promise<FoundFile> {
  const path = `${dir}/${segmentName(number)}`
  for (let tries = 1; ; tries++) {
    try {
      return await withFile(files, path, (file) => lookAt(file, path, number))
    } catch (error) {
      if (tries < TRIES) continue
      if (isAccess(error)) throw error
      return { is: 'unread', why: textOf(error) }
    }
  }
}

async function lookAt(file: SpoolFile, path: string, number: number): Promise<FoundFile> {
  const { size, mtimeMs } = await file.stat()
  const bytes = Buffer.alloc(FIRST_FRAME)
  const got = await readFully(file, bytes, 0)
  const header = decodeHeader(bytes.subarray(0, got))
  if (header === undefined) {
    if (got < FIRST_FRAME) return { is: 'torn', bytes: size }
    const version = foreignVersion(bytes)
    if (version === undefined) return { is: 'damaged', why: 'both copies of the header are damaged' }
    return { is: 'foreign', why: `written by another version of ktrail, in format ${version}` }
  }
  if (header.number !== number) return { is: 'unread', why: `the header says segment ${header.number}` }
  const segment = { header, path, bytes: Math.max(size, FIRST_FRAME), writtenMs: mtimeMs, lastMark: 0 }
  return { is: 'segment', segment }
}
