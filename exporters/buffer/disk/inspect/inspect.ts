/**
 * Inspects and repairs a spool, for the command line. `list`, `verify` and `copy` only read and may run beside the agent. They may
 * miss events that it appends meanwhile, and skip segments that it removes.
 */
import { errnoOf, ExportError, ifMissing } from '../../../contract/errors.ts'
import type { Segment } from '../catalog.ts'
import { readFully, withFile } from '../files/file-access.ts'
import type { SpoolFile, SpoolFiles } from '../files/files.ts'
import { holderText } from '../files/lock.ts'
import { effective, loadCursor, readSegments } from '../files/folder.ts'
import { decodeFrameHead, FIRST_FRAME, FRAME_HEAD, segmentName } from '../format/format.ts'
import { unpack } from '../format/packing.ts'
import { anyPieceOf } from '../format/payload.ts'
import { setAside } from '../files/quarantine.ts'
import type { ReadFrame } from '../place.ts'
import { recover } from '../recovery.ts'
import type { RecoveryReport } from '../recovery.ts'
import { framesOf, tolerantWindow, Window } from '../format/scan.ts'
import type { Found } from '../format/scan.ts'

/** Fits many headers of small frames, and is cheap if the next one is far away. */
const HEADS_WINDOW = 64 << 10

/** One segment as `list` shows it. */
export interface SegmentFacts {
  readonly name: string
  readonly bytes: number
  /** Number by positions, so unreadable events are included. undefined if the file was removed meanwhile. */
  readonly events: number | undefined
  /** Positions; `to` is exclusive. */
  readonly from: number
  readonly to: number | undefined
  readonly createdMs: number
  readonly epoch: string
}

export interface Listing {
  readonly segments: readonly SegmentFacts[]
  /** `name: why` of unreadable segments. */
  readonly unreadable: readonly string[]
  readonly bytes: number
  /** Absent without any segments: the folder is not a spool yet. */
  readonly cursor: 'read' | 'absent' | 'corrupt'
  /** Everything before this position is acked or counted. Without a cursor: the first segment. */
  readonly settled: number
  /** The durable end according to the cursor. */
  readonly durable: number
  readonly end: number
  /** Bytes after the last frame of the last segment: a torn end or a running append. */
  readonly tailBytes: number
  /** Files in `quarantine/`. */
  readonly quarantined: number
}

/** Result of `repair`, with the damage that it could not repair. */
export interface RepairReport extends RecoveryReport {
  /** Damaged segments: readable events stay, missing ones are counted when the reader reaches them. */
  readonly damaged: readonly Verdict[]
}

/** Result of `verify` for one segment. */
export interface Verdict extends SegmentFacts {
  readonly frames: number
  readonly goodEvents: number
  /** Missing events; unknown at the end of the last segment. */
  readonly missingEvents: number
  /** Valid frames whose payload cannot be unpacked or has no events, and the reason for the first of them. */
  readonly uselessEvents: number
  readonly useless: string
  /** Bytes outside valid frames. */
  readonly badBytes: number
  /** All `badBytes` are after the last frame of the last segment: a torn end or a running append. */
  readonly tailOnly: boolean
}

/**
 * Segments with sizes and ages. Only reads segment headers, and frame headers of the last segment. Rejects if the folder cannot be
 * listed.
 */
export async function list(dir: string, files: SpoolFiles): Promise<Listing> {
  const { segments, unreadable } = await segmentsOf(dir, files)
  const last = segments.at(-1)
  const pending = last === undefined ? undefined : await tailOf(last, files)
  const first = segments[0]?.header.base ?? 0
  // Read after the segments, so that the cursor of a running agent is not older.
  const cursor = await loadCursor(dir, files)
  const quarantined = await files.readdir(`${dir}/quarantine`).catch(() => [])
  const found = (await files.readdir(dir)).includes('cursor')
  const known = cursor ?? { seq: first, durable: 0 }
  return {
    segments: segments.map((segment, i) => factsOf(segment, limitOf(segments, i) ?? pending?.end)),
    unreadable,
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    cursor: cursor !== undefined ? 'read' : found ? 'corrupt' : 'absent',
    settled: known.seq,
    durable: known.durable,
    end: Math.max(pending?.end ?? 0, known.seq),
    tailBytes: pending?.restBytes ?? 0,
    quarantined: quarantined.length,
  }
}

/** The end of a segment; undefined if its file was removed meanwhile. */
async function tailOf(
  segment: Segment,
  files: SpoolFiles,
): Promise<{ readonly end: number; readonly restBytes: number } | undefined> {
  const found = { end: segment.header.base, offset: FIRST_FRAME }
  const there = await reading(files, segment, async (file) => {
    if (await walkHeads(file, segment, found).catch(() => false)) return
    // Damaged: check every byte to find frames behind the damage.
    for await (const frame of framesOf(tolerantWindow(file), segment, segment.bytes)) {
      found.end = frame.seq + frame.count
      found.offset = frame.end
    }
  })
  return there ? { end: found.end, restBytes: segment.bytes - found.offset } : undefined
}

/** Skips from header to header, without payloads and checksums. False if it stops before the end. */
async function walkHeads(file: SpoolFile, segment: Segment, found: { end: number; offset: number }): Promise<boolean> {
  const window = new Window(file, HEADS_WINDOW, false)
  for (;;) {
    const bytes = await window.at(found.offset, FRAME_HEAD, segment.bytes)
    if (bytes.length < FRAME_HEAD) return found.offset === segment.bytes
    const head = decodeFrameHead(bytes, 0)
    const next = found.offset + FRAME_HEAD + head.bytes
    if (head.seq !== found.end || head.count === 0 || next > segment.bytes) return false
    found.end += head.count
    found.offset = next
  }
}

/** Checks every byte of every segment, and that every payload has events. Rejects if the folder cannot be listed. */
export async function* verify(dir: string, files: SpoolFiles): AsyncGenerator<Verdict> {
  const { segments } = await segmentsOf(dir, files)
  for (const [i, segment] of segments.entries()) {
    const limit = limitOf(segments, i)
    let frames = 0
    let goodEvents = 0
    let uselessEvents = 0
    let useless = ''
    let goodBytes = FIRST_FRAME
    let lastEnd = FIRST_FRAME
    let seq = segment.header.base
    const passed = await reading(files, segment, async (file) => {
      for await (const frame of framesOf(tolerantWindow(file), segment, segment.bytes, limit)) {
        frames++
        goodEvents += frame.count
        goodBytes += frame.end - frame.offset
        lastEnd = frame.end
        seq = frame.seq + frame.count
        const read = await readFrame(file, segment, frame)
        const piece = read === undefined ? undefined : anyPieceOf(read)
        if (piece === undefined || !('why' in piece)) continue
        uselessEvents += frame.count
        useless ||= piece.why
      }
    })
    if (!passed) continue
    const badBytes = segment.bytes - goodBytes
    const missingEvents = (limit ?? seq) - segment.header.base - goodEvents
    const tailOnly = limit === undefined && badBytes === segment.bytes - lastEnd
    const facts = factsOf(segment, limit ?? seq)
    yield { ...facts, frames, goodEvents, uselessEvents, useless, missingEvents, badBytes, tailOnly }
  }
}

/**
 * Repairs like a start (quarantine, torn end, settled segments), and also moves segments without a valid frame to `quarantine/`.
 * Throws ExportError while a process uses the spool.
 */
export async function repair(dir: string, files: SpoolFiles, wallMs: number): Promise<RepairReport> {
  const lock = await files.lock(dir)
  if ('heldBy' in lock) {
    const problem = `${holderText(lock)} is using it; stop that one first`
    throw new ExportError('UNUSABLE', `cannot repair the spool "${dir}": ${problem}`)
  }
  try {
    const { report } = await recover(dir, files, wallMs)
    const quarantined = [...report.quarantined]
    const damaged: Verdict[] = []
    let { segments, bytes } = report
    for await (const verdict of verify(dir, files)) {
      const { name, frames, badBytes, missingEvents } = verdict
      if (frames === 0) {
        // Either the file or the device is at fault.
        const unfit = { name, why: 'no valid frame in it', damaged: false }
        quarantined.push(await setAside(dir, unfit, files, wallMs))
        segments--
        bytes -= verdict.bytes
      } else if (badBytes > 0 || missingEvents > 0) damaged.push(verdict)
    }
    return { ...report, segments, bytes, quarantined, damaged }
  } finally {
    await lock.release()
  }
}

/**
 * For a replay: passes every valid frame from position `from` up to `to` to `give`, in order, one at a time. A frame partly in
 * the range is passed whole. Returns the number of events. Rejects if `give` rejects.
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
      for await (const found of framesOf(tolerantWindow(file), segment, segment.bytes, limit)) {
        if (found.seq >= range.to) return
        if (found.seq + found.count <= range.from) continue
        const frame = await readFrame(file, segment, found)
        if (frame === undefined) return
        try {
          await give(frame)
        } catch (error) {
          failed = { error }
          return
        }
        events += found.count
      }
    })
    if (failed !== undefined) throw failed.error
  }
  return events
}

/** A frame with its unpacked payload; undefined if the file was cut meanwhile. */
async function readFrame(file: SpoolFile, { header }: Segment, found: Found): Promise<ReadFrame | undefined> {
  const { seq, count, first, last, offset, bytes, packed } = found
  const stored = Buffer.allocUnsafe(bytes)
  if ((await readFully(file, stored, offset + FRAME_HEAD)) !== bytes) return undefined
  return { seq, count, first, last, epoch: header.epoch, payload: unpack(stored, packed) }
}

async function segmentsOf(dir: string, files: SpoolFiles): Promise<{ segments: Segment[]; unreadable: string[] }> {
  const all: Segment[] = []
  const unreadable: string[] = []
  for (const found of await readSegments(dir, await files.readdir(dir), files)) {
    const name = segmentName(found.number)
    if (found.is === 'segment') all.push(found.segment)
    else if (!(await gone(`${dir}/${name}`, files)))
      unreadable.push(`${name}: ${found.is === 'torn' ? `incomplete header, ${found.bytes} bytes` : found.why}`)
  }
  return { segments: effective(all), unreadable }
}

/** Whether a running agent has removed the file, which it does with settled segments. */
function gone(path: string, files: SpoolFiles): Promise<boolean> {
  return files.stat(path).then(
    () => false,
    (error: unknown) => errnoOf(error) === 'ENOENT',
  )
}

/** Opens and reads; false if a running agent has removed the file. */
async function reading(files: SpoolFiles, segment: Segment, run: (file: SpoolFile) => Promise<void>): Promise<boolean> {
  const done = withFile(files, segment.path, run).then(() => true)
  return (await done.catch(ifMissing)) ?? false
}

function limitOf(segments: readonly Segment[], index: number): number | undefined {
  return segments[index + 1]?.header.base
}

function factsOf(segment: Segment, to: number | undefined): SegmentFacts {
  const { number, base, createdMs, epoch } = segment.header
  const events = to === undefined ? undefined : to - base
  return { name: segmentName(number), bytes: segment.bytes, events, from: base, to, createdMs, epoch }
}
