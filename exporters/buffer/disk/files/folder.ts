/** Reads a spool's folder without changing it. */
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

/** The state of a file with the name of a segment; `why` is for messages. */
export type FoundFile =
  | { readonly is: 'segment'; readonly segment: Segment }
  /** Shorter than a header: the process ended while creating it. */
  | { readonly is: 'torn'; readonly bytes: number }
  /** Its bytes are damaged. */
  | { readonly is: 'damaged'; readonly why: string }
  /** The device cannot read it, or it has another segment's name; its content may be intact. */
  | { readonly is: 'unread'; readonly why: string }
  /** Intact, in the format of another version of ktrail. */
  | { readonly is: 'foreign'; readonly why: string }

/**
 * The segments among these names, ascending by number. Rejects if access to one fails (`isAccess`).
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

/** Segments not replaced by a later one with the same or a smaller base. `all` ascends by number. */
export function effective(all: readonly Segment[]): Segment[] {
  let smallest = Infinity
  const kept = all.toReversed().filter(({ header }) => {
    if (header.base >= smallest) return false
    smallest = header.base
    return true
  })
  return kept.toReversed()
}

/** The cursor file's content; undefined if it is missing or damaged. Rejects like `readSegments`. */
export async function loadCursor(dir: string, files: SpoolFiles): Promise<StoredCursor | undefined> {
  try {
    const bytes = Buffer.alloc(CURSOR_BYTES + 1)
    const got = await withFile(files, `${dir}/cursor`, (file) => readFully(file, bytes, 0))
    return decodeCursor(bytes.subarray(0, got))
  } catch (error) {
    if (isAccess(error)) throw error
    return undefined
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
  if (header.number !== number) return { is: 'unread', why: `its header is of segment ${header.number}` }
  const segment = { header, path, bytes: Math.max(size, FIRST_FRAME), writtenMs: mtimeMs, lastMark: 0 }
  return { is: 'segment', segment }
}
