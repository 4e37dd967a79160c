/**
 * Looking into a spool and mending it, for the command line. `list`, `verify` and `copy` only read and may run beside the
 * agent that uses the spool; what it appends meanwhile may or may not be seen, and a segment that it removes is passed.
 */
import { errnoOf, ExportError } from '../errors.ts'
import type { Segment } from './catalog.ts'
import type { SpoolFile, SpoolFiles } from './files.ts'
import { FIRST_FRAME, FRAME_HEAD, segmentName, segmentNumber } from './format.ts'
import type { ReadFrame } from './reader.ts'
import { framesOf, loadCursor, quarantine, readFully, readSegment, recover, withFile } from './recovery.ts'
import type { RecoveryReport } from './recovery.ts'

/** One segment as `list` shows it. */
export interface SegmentFacts {
  readonly name: string
  readonly bytes: number
  /** undefined where only reading the segment would tell: for the last one. */
  readonly events: number | undefined
  /** Positions; `to` is exclusive. */
  readonly from: number
  readonly to: number | undefined
  readonly createdMs: number
  readonly epoch: string
}

export interface Listing {
  readonly segments: readonly SegmentFacts[]
  /** `name: why` of files that are no readable segment. */
  readonly unreadable: readonly string[]
  readonly bytes: number
  /** Position of the first event not yet acked; undefined when no cursor can be read. */
  readonly settled: number | undefined
}

/** What `verify` found in one segment. */
export interface Verdict extends SegmentFacts {
  readonly frames: number
  readonly goodEvents: number
  /** Events that should be there and are not; at the end of the last segment nobody can know. */
  readonly missingEvents: number
  /** Bytes that belong to no valid frame. */
  readonly badBytes: number
  /** All `badBytes` are behind the last frame of the last segment: a torn tail, or an append going on right now. */
  readonly tailOnly: boolean
}

/** Segments, their sizes and ages; reads headers only. Rejects when the folder cannot be listed. */
export async function list(dir: string, files: SpoolFiles): Promise<Listing> {
  const { segments, unreadable } = await segmentsOf(dir, files)
  const cursor = await loadCursor(dir, files)
  return {
    segments: segments.map((segment, i) => factsOf(segment, limitOf(segments, i))),
    unreadable,
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    settled: typeof cursor === 'string' ? undefined : cursor.seq,
  }
}

/** Checks every byte of every segment. Rejects when the folder cannot be listed. */
export async function* verify(dir: string, files: SpoolFiles): AsyncGenerator<Verdict> {
  const { segments } = await segmentsOf(dir, files)
  for (const [i, segment] of segments.entries()) {
    const limit = limitOf(segments, i)
    let frames = 0
    let goodEvents = 0
    let goodBytes = FIRST_FRAME
    let lastEnd = FIRST_FRAME
    let seq = segment.header.base
    const passed = await reading(files, segment, async (file) => {
      for await (const frame of framesOf(file, segment, segment.bytes, limit)) {
        frames++
        goodEvents += frame.count
        goodBytes += frame.end - frame.offset
        lastEnd = frame.end
        seq = frame.seq + frame.count
      }
    })
    if (!passed) continue
    const badBytes = segment.bytes - goodBytes
    const missingEvents = (limit ?? seq) - segment.header.base - goodEvents
    const tailOnly = limit === undefined && badBytes === segment.bytes - lastEnd
    yield { ...factsOf(segment, limit ?? seq), frames, goodEvents, missingEvents, badBytes, tailOnly }
  }
}

/**
 * Does what a start would do (quarantine, torn tail, spent segments) and moves segments without a single valid frame
 * to `quarantine/` as well. Throws ExportError while a process uses the spool.
 */
export async function repair(dir: string, files: SpoolFiles, wallMs: number): Promise<RecoveryReport> {
  const lock = await files.lock(dir)
  if ('heldBy' in lock) {
    const who = lock.heldBy > 0 ? `process ${lock.heldBy}` : 'another process'
    throw new ExportError('UNUSABLE_PATH', `cannot repair the spool "${dir}": ${who} is using it; stop that one first`)
  }
  try {
    const { report } = await recover(dir, files, wallMs)
    const quarantined = [...report.quarantined]
    for await (const { name, frames } of verify(dir, files)) {
      if (frames > 0) continue
      quarantined.push(`${name}: no valid frame in it`)
      await quarantine(dir, name, files, wallMs)
    }
    return { ...report, quarantined }
  } finally {
    await lock.release()
  }
}

/**
 * Hands every valid frame of the positions `from` up to `to` to `give`, in order, one at a time: for a replay. Returns
 * how many events. A frame that lies only partly in the range is given whole. Rejects with what `give` rejects with.
 */
export async function copy(
  dir: string,
  files: SpoolFiles,
  range: { readonly from: number; readonly to: number },
  give: (frame: ReadFrame) => Promise<void>,
): Promise<number> {
  const { segments } = await segmentsOf(dir, files)
  let events = 0
  for (const [i, segment] of segments.entries()) {
    const limit = limitOf(segments, i)
    if (segment.header.base >= range.to || (limit ?? Infinity) <= range.from) continue
    let failed: { readonly error: unknown } | undefined
    await reading(files, segment, async (file) => {
      for await (const { seq, count, first, last, offset, bytes } of framesOf(file, segment, segment.bytes, limit)) {
        if (seq >= range.to) return
        if (seq + count <= range.from) continue
        const payload = Buffer.allocUnsafe(bytes)
        if ((await readFully(file, payload, offset + FRAME_HEAD)) !== bytes) return
        try {
          await give({ seq, count, first, last, epoch: segment.header.epoch, payload })
        } catch (error) {
          failed = { error }
          return
        }
        events += count
      }
    })
    if (failed !== undefined) throw failed.error
  }
  return events
}

async function segmentsOf(dir: string, files: SpoolFiles): Promise<{ segments: Segment[]; unreadable: string[] }> {
  const numbers = (await files.readdir(dir)).map(segmentNumber).filter((number) => number !== undefined)
  const all: Segment[] = []
  const unreadable: string[] = []
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const read = await readSegment(dir, number, files)
    if (typeof read === 'object') all.push(read)
    else unreadable.push(`${segmentName(number)}: ${typeof read === 'string' ? read : `torn at birth, ${read} bytes`}`)
  }
  const segments = all.filter((one, i) => !all.some((later, j) => j > i && later.header.base <= one.header.base))
  return { segments, unreadable }
}

/** Opens and reads; false when the file has gone, which a running agent does with what is acked. */
async function reading(files: SpoolFiles, segment: Segment, run: (file: SpoolFile) => Promise<void>): Promise<boolean> {
  try {
    await withFile(files, segment.path, run)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

function limitOf(segments: readonly Segment[], index: number): number | undefined {
  return segments[index + 1]?.header.base
}

function factsOf(segment: Segment, to: number | undefined): SegmentFacts {
  const { number, base, createdMs, epoch } = segment.header
  const events = to === undefined ? undefined : to - base
  return { name: segmentName(number), bytes: segment.bytes, events, from: base, to, createdMs, epoch }
}
