/**
 * What a folder holds at the start. Only headers are read, and the last segment whole. Nothing found here stops the
 * start: what cannot be read is moved to `quarantine/`, a torn tail is cut off, and both are counted.
 */
import { errnoOf, textOf } from '../errors.ts'
import type { Segment } from './catalog.ts'
import type { SpoolFile, SpoolFiles } from './files.ts'
import { CURSOR_BYTES, decodeCursor, decodeHeader, FIRST_FRAME, segmentName, segmentNumber } from './format.ts'
import type { Cursor, StoredCursor } from './format.ts'
import { findFrame, frameAt, Window } from './scan.ts'

/** Files in `quarantine/`; the oldest beyond this are removed, so that a failing disk cannot fill itself. */
const MAX_QUARANTINED = 32
const SCAN_WINDOW = 1 << 20
/** More events than a segment can hold; keeps the search after damage from checking whatever looks like a large number. */
const MAX_SEGMENT_EVENTS = 2 ** 32
/** A device that refuses once may give a moment later; what stays refused is given up. */
const TRIES = 3

/** What the start found, for the log and the metrics. */
export interface RecoveryReport {
  readonly segments: number
  readonly bytes: number
  /** Cut off the end of the last segment. */
  readonly tornBytes: number
  /** `name: why` of each file moved away. */
  readonly quarantined: readonly string[]
  /** Segments removed because everything in them was acknowledged or written anew. */
  readonly spent: number
  readonly cursor: 'read' | 'absent' | 'corrupt'
}

export interface Recovered {
  readonly segments: readonly Segment[]
  /** Position after the last event. */
  readonly end: number
  /** Position up to which everything is durable. */
  readonly durable: number
  /** Where reading goes on. */
  readonly cursor: Cursor
  /** No segment of this number or above was seen. */
  readonly nextNumber: number
  readonly report: RecoveryReport
}

/** Reads, mends and describes a spool's folder. Rejects only when the folder itself cannot be listed. */
export async function recover(dir: string, files: SpoolFiles, wallMs: number): Promise<Recovered> {
  const names = await files.readdir(dir)
  const quarantined: string[] = []
  const aside = async (name: string, why: string): Promise<void> => {
    quarantined.push(`${name}: ${why}`)
    await quarantine(dir, name, files, wallMs)
  }
  const cursor = await readCursor(dir, names, files)
  const numbers = names
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .toSorted((a, b) => a - b)
  const all: Segment[] = []
  let tornBytes = 0
  for (const number of numbers) {
    const read = await readSegment(dir, number, files)
    if (typeof read === 'string') await aside(segmentName(number), read)
    else if (typeof read === 'number') {
      tornBytes += read
      await ignoring(files.unlink(`${dir}/${segmentName(number)}`))
    } else all.push(read)
  }
  let kept = inForce(all)
  const superseded = all.length === kept.length ? [] : all.filter((segment) => !kept.includes(segment))
  let end = 0
  for (let last = kept.at(-1); last !== undefined; last = kept.at(-1)) {
    const tail = await mendTail(last, files)
    if (typeof tail !== 'string') {
      tornBytes += tail.tornBytes
      end = tail.end
      if (end === last.header.base && (await cutBehind(kept.at(-2), end, files))) superseded.push(last)
      break
    }
    await aside(segmentName(last.header.number), tail)
    kept.pop()
  }
  const seq = cursor.seq ?? kept[0]?.header.base ?? 0
  end = Math.max(end, seq, cursor.durable)
  kept = kept.filter((segment) => !superseded.includes(segment))
  const limit = (i: number): number => kept[i + 1]?.header.base ?? end
  // The cursor that was read may itself not be safe yet, and nothing may go before it is.
  const safe = await files.syncFolder(dir).then(
    () => true,
    () => false,
  )
  const spent = safe ? kept.filter((_, i) => limit(i) <= seq) : []
  for (const { path } of [...superseded, ...spent]) await ignoring(files.unlink(path))
  // A power cut must not bring them back behind what is delivered meanwhile.
  if (superseded.length > 0) await ignoring(files.syncFolder(dir))
  const segments = kept.filter((segment) => !spent.includes(segment))
  return {
    segments,
    end,
    durable: (safe ? await syncAll(segments, files) : segments[0])?.header.base ?? end,
    cursor: { seq, segment: cursor.segment, offset: cursor.offset },
    nextNumber: 1 + Math.max(0, cursor.segment, ...numbers),
    report: {
      segments: segments.length,
      bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
      tornBytes,
      quarantined,
      spent: superseded.length + spent.length,
      cursor: cursor.state,
    },
  }
}

/** Those that no later segment takes the place of, by the same base or a smaller one. `all` ascends by number. */
export function inForce(all: readonly Segment[]): Segment[] {
  let smallest = Infinity
  const kept = all.toReversed().filter(({ header }) => {
    if (header.base >= smallest) return false
    smallest = header.base
    return true
  })
  return kept.toReversed()
}

/**
 * A process that was killed leaves its last writes in the page cache only: readable, and gone with the power. Costs next to
 * nothing for a file that is clean. Returns the first segment for which it fails.
 */
async function syncAll(segments: readonly Segment[], files: SpoolFiles): Promise<Segment | undefined> {
  for (const segment of segments) {
    if ((await ignoring(withFile(files, segment.path, (file) => file.sync()))) !== '') return segment
  }
  return undefined
}

interface FoundCursor {
  readonly state: RecoveryReport['cursor']
  readonly seq: number | undefined
  readonly segment: number
  readonly offset: number
  readonly durable: number
}

/**
 * No cursor: nothing was ever acked, so all there ever was should be here. A damaged one stays until the next store
 * replaces it, and says by that that things were acked, though not how many.
 */
async function readCursor(dir: string, names: readonly string[], files: SpoolFiles): Promise<FoundCursor> {
  if (names.includes('cursor.tmp')) await ignoring(files.unlink(`${dir}/cursor.tmp`))
  const none = { segment: 0, offset: 0, durable: 0 }
  if (!names.includes('cursor')) return { state: 'absent', seq: 0, ...none }
  const cursor = await loadCursor(dir, files)
  return typeof cursor === 'object' ? { state: 'read', ...cursor } : { state: 'corrupt', seq: undefined, ...none }
}

/** The cursor file's content, or why there is none. */
export async function loadCursor(dir: string, files: SpoolFiles): Promise<StoredCursor | string> {
  try {
    const bytes = Buffer.alloc(CURSOR_BYTES + 1)
    const got = await withFile(files, `${dir}/cursor`, (file) => readFully(file, bytes, 0))
    return decodeCursor(bytes.subarray(0, got)) ?? `expected ${CURSOR_BYTES} bytes with a valid checksum, got ${got}`
  } catch (error) {
    return textOf(error)
  }
}

/** The segment; its size when it was torn at birth; or why it cannot be read. */
export async function readSegment(dir: string, number: number, files: SpoolFiles): Promise<Segment | number | string> {
  const path = `${dir}/${segmentName(number)}`
  for (let tries = 1; ; tries++) {
    try {
      return await withFile(files, path, (file) => segmentOf(file, path, number))
    } catch (error) {
      if (tries === TRIES) return textOf(error)
    }
  }
}

async function segmentOf(file: SpoolFile, path: string, number: number): Promise<Segment | number | string> {
  const { size, mtimeMs } = await file.stat()
  const bytes = Buffer.alloc(FIRST_FRAME)
  const got = await readFully(file, bytes, 0)
  const header = decodeHeader(bytes.subarray(0, got))
  if (header === undefined) return got < FIRST_FRAME ? size : 'both copies of the header are damaged'
  if (header.number !== number) return `the header says segment ${header.number}`
  return { header, path, bytes: Math.max(size, FIRST_FRAME), writtenMs: mtimeMs, lastMark: 0 }
}

/**
 * Makes sure that a segment ends at this position, also after a power cut: what it has behind it was written anew in a later
 * one, and must not come back when that one goes because nothing of it is left. False when the disk is in no state for it.
 */
async function cutBehind(segment: Segment | undefined, limit: number, files: SpoolFiles): Promise<boolean> {
  if (segment === undefined) return true
  const size = segment.bytes
  const done = withFile(
    files,
    segment.path,
    async (file) => {
      for await (const { seq, offset } of framesOf(file, segment, size)) {
        if (seq < limit) continue
        await cutAt(file, offset)
        segment.bytes = offset
        return
      }
    },
    'write',
  )
  return (await ignoring(done)) === ''
}

/** What was cut off, a power cut must not bring back: by then younger events may have been sent. */
async function cutAt(file: SpoolFile, bytes: number): Promise<void> {
  await file.truncate(bytes)
  await file.sync()
}

/** Finds where the last segment ends and cuts off what is torn there. */
async function mendTail(last: Segment, files: SpoolFiles): Promise<{ end: number; tornBytes: number } | string> {
  const size = last.bytes
  let seq = last.header.base
  try {
    await withFile(files, last.path, async (file) => {
      last.bytes = FIRST_FRAME
      for await (const frame of framesOf(file, last, size)) {
        seq = frame.seq + frame.count
        last.bytes = frame.end
        last.lastMark = frame.last
      }
    })
  } catch (error) {
    return textOf(error)
  }
  if (last.bytes < size) await ignoring(withFile(files, last.path, (file) => cutAt(file, last.bytes), 'write'))
  return { end: seq, tornBytes: size - last.bytes }
}

/** Every valid frame of a segment in order, across damage and unreadable blocks. */
export async function* framesOf(
  file: SpoolFile,
  segment: Segment,
  size: number,
  limitSeq: number = segment.header.base + MAX_SEGMENT_EVENTS,
): AsyncGenerator<Awaited<ReturnType<typeof frameAt>> & object> {
  const window = new Window(file, SCAN_WINDOW, false)
  window.tolerant = true
  let minSeq = segment.header.base
  for (let offset = FIRST_FRAME; offset < size;) {
    const bounds = { salt: segment.header.salt, end: size, minSeq, limitSeq }
    const frame = (await frameAt(window, offset, bounds)) ?? (await findFrame(window, offset + 1, bounds))
    if (frame === undefined) return
    yield frame
    minSeq = frame.seq + frame.count
    offset = frame.end
  }
}

/** Moves a file to `quarantine/`, under a name that says when; keeps there only the newest few. */
export async function quarantine(dir: string, name: string, files: SpoolFiles, wallMs: number): Promise<void> {
  const room = `${dir}/quarantine`
  await ignoring(files.mkdir(room))
  await ignoring(files.rename(`${dir}/${name}`, `${room}/${Math.floor(wallMs)}-${name}`))
  const names = await files.readdir(room).catch(() => [])
  const oldest = names.toSorted().slice(0, Math.max(0, names.length - MAX_QUARANTINED))
  for (const old of oldest) await ignoring(files.unlink(`${room}/${old}`))
}

/** Fills `into` as far as the file reaches. Returns bytes read. */
export async function readFully(file: SpoolFile, into: Uint8Array, position: number): Promise<number> {
  let failures = 0
  for (let filled = 0; ;) {
    try {
      const got = await file.read(into.subarray(filled), position + filled)
      filled += got
      if (got === 0 || filled === into.length) return filled
    } catch (error) {
      if (++failures === TRIES) throw error
    }
  }
}

/** Opens, runs, closes. */
export async function withFile<T>(
  files: SpoolFiles,
  path: string,
  run: (file: SpoolFile) => Promise<T>,
  how: 'read' | 'write' = 'read',
): Promise<T> {
  const file = await opened(files, path, how)
  try {
    return await run(file)
  } finally {
    await ignoring(file.close())
  }
}

/** For what is tidy to do but changes nothing when it fails. Returns the errno, '' when it worked. */
export async function ignoring(done: Promise<unknown>): Promise<string> {
  try {
    await done
    return ''
  } catch (error) {
    return errnoOf(error) || 'EIO'
  }
}

async function opened(files: SpoolFiles, path: string, how: 'read' | 'write'): Promise<SpoolFile> {
  for (let tries = 1; ; tries++) {
    try {
      return await files.open(path, how)
    } catch (error) {
      if (tries === TRIES || errnoOf(error) === 'ENOENT') throw error
    }
  }
}
