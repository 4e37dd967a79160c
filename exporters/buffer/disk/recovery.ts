/**
 * Reads a folder at the start: only headers, and the whole last segment. Damage does not prevent the start: unreadable files are
 * moved to `quarantine/`, a torn end is cut off, and both are counted. Missing access does prevent it; files are then unchanged.
 */
import { ExportError, textOf } from '../../contract/errors.ts'
import type { Segment } from './catalog.ts'
import { ignoring, inParallel, isAccess, withFile } from './files/file-access.ts'
import type { SpoolFile, SpoolFiles } from './files/files.ts'
import { effective, loadCursor, readSegments } from './files/folder.ts'
import { FIRST_FRAME, segmentName } from './format/format.ts'
import type { Cursor } from './format/format.ts'
import { prune, setAside } from './files/quarantine.ts'
import { framesOf, tolerantWindow } from './format/scan.ts'

/** The repairs of a start, for the log and metrics. */
export interface RecoveryReport {
  readonly segments: number
  readonly bytes: number
  /** Cut from the end of the last segment. */
  readonly tornBytes: number
  /** `name: why` of each file moved to `quarantine/`. */
  readonly quarantined: readonly string[]
  /** Older damaged files deleted from `quarantine/` to make room. */
  readonly removed: readonly string[]
  /** Segments removed because all their events were acknowledged or rewritten. */
  readonly spent: number
  readonly cursor: 'read' | 'absent' | 'corrupt'
}

export interface Recovered {
  readonly segments: readonly Segment[]
  /** Position after the last event. */
  readonly end: number
  /** Position up to which all events are durable. */
  readonly durable: number
  /** Segments that could not be synced; the next sync includes them. */
  readonly unsynced: readonly Segment[]
  /** Where reading continues. */
  readonly cursor: Cursor
  /** Higher than all existing segment numbers. */
  readonly nextNumber: number
  readonly report: RecoveryReport
}

/**
 * Reads and repairs a spool's folder. Rejects, without changes to events, if the folder or files in it are not accessible
 * (`isAccess`), and with ExportError if another version has written it.
 */
export async function recover(dir: string, files: SpoolFiles, wallMs: number): Promise<Recovered> {
  const names = await files.readdir(dir)
  const found = await readSegments(dir, names, files)
  const hasCursor = names.includes('cursor')
  const cursor = hasCursor ? await loadCursor(dir, files) : undefined
  const { durable, segment, offset } = cursor ?? { durable: 0, segment: 0, offset: 0 }
  for (const file of found) if (file.is === 'foreign') throw otherVersion(dir, file.number, file.why)
  if (names.includes('cursor.tmp')) await ignoring(files.unlink(`${dir}/cursor.tmp`))
  const quarantined: string[] = []
  const aside = async (number: number, why: string, damaged: boolean): Promise<void> => {
    quarantined.push(await setAside(dir, { name: segmentName(number), why, damaged }, files, wallMs))
  }
  const all: Segment[] = []
  let tornBytes = 0
  for (const file of found) {
    if (file.is === 'segment') all.push(file.segment)
    else if (file.is === 'torn') {
      tornBytes += file.bytes
      await ignoring(files.unlink(`${dir}/${segmentName(file.number)}`))
    } else await aside(file.number, file.why, file.is === 'damaged')
  }
  let kept = effective(all)
  const superseded = all.length === kept.length ? [] : all.filter((one) => !kept.includes(one))
  let end = 0
  for (let last = kept.at(-1); last !== undefined; last = kept.at(-1)) {
    const pending = await repairEnd(last, files)
    if (typeof pending !== 'string') {
      tornBytes += pending.tornBytes
      end = pending.end
      if (end === last.header.base && (await cutBehind(kept.at(-2), end, files))) superseded.push(last)
      break
    }
    await aside(last.header.number, pending, false)
    kept.pop()
  }
  const removed = quarantined.length === 0 ? [] : await prune(dir, files)
  // Without a cursor nothing was acked, so all events should be here. A damaged cursor means that events were acked, but not how
  // many; it stays until the next store.
  const seq = cursor?.seq ?? (hasCursor ? (kept[0]?.header.base ?? 0) : 0)
  end = Math.max(end, seq, durable)
  kept = kept.filter((one) => !superseded.includes(one))
  const limit = (i: number): number => kept[i + 1]?.header.base ?? end
  // The cursor itself may not be durable yet; nothing may be deleted before it is.
  const safe = (await ignoring(files.syncFolder(dir))) === ''
  const spent = safe ? kept.filter((_, i) => limit(i) <= seq) : []
  for (const { path } of [...superseded, ...spent]) await ignoring(files.unlink(path))
  // A power cut must not restore them after later events were delivered.
  if (superseded.length > 0) await ignoring(files.syncFolder(dir))
  const segments = kept.filter((one) => !spent.includes(one))
  const doubtful = kept.filter((one, i) => limit(i) > durable && !spent.includes(one))
  const unsynced = safe ? await syncAll(doubtful, files) : doubtful
  return {
    segments,
    end,
    durable: Math.max(durable, unsynced[0]?.header.base ?? end),
    unsynced,
    cursor: { seq, segment, offset },
    nextNumber: 1 + Math.max(segment, found.at(-1)?.number ?? 0),
    report: {
      segments: segments.length,
      bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
      tornBytes,
      quarantined,
      removed,
      spent: superseded.length + spent.length,
      cursor: cursor !== undefined ? 'read' : hasCursor ? 'corrupt' : 'absent',
    },
  }
}

/**
 * Syncs the last writes of a killed process, which may only be in the page cache. Returns the segments from the first on that could
 * not be synced.
 */
async function syncAll(segments: readonly Segment[], files: SpoolFiles): Promise<readonly Segment[]> {
  const errors = await inParallel(segments, ({ path }) => ignoring(withFile(files, path, (file) => file.sync())))
  const failed = errors.findIndex((errno) => errno !== '')
  return failed < 0 ? [] : segments.slice(failed)
}

function otherVersion(dir: string, number: number, why: string): ExportError {
  return new ExportError(
    'UNUSABLE',
    `cannot use the spool "${dir}": ${segmentName(number)} was ${why}; the spool is unchanged: start that version ` +
      'again, or give this exporter another folder',
  )
}

/**
 * Cuts a segment at this position, durably: its later events were rewritten in a later segment, and must not come back when that
 * one is deleted. False if the disk fails.
 */
async function cutBehind(segment: Segment | undefined, limit: number, files: SpoolFiles): Promise<boolean> {
  if (segment === undefined) return true
  const size = segment.bytes
  const done = withFile(
    files,
    segment.path,
    async (file) => {
      for await (const { seq, offset } of framesOf(tolerantWindow(file), segment, size)) {
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

/** Syncs the cut: a power cut must not restore these events after younger ones were sent. */
async function cutAt(file: SpoolFile, bytes: number): Promise<void> {
  await file.truncate(bytes)
  await file.sync()
}

/** Finds the end of the last segment and cuts off a torn end; returns why it cannot be read, if so. */
async function repairEnd(last: Segment, files: SpoolFiles): Promise<{ end: number; tornBytes: number } | string> {
  const size = last.bytes
  let seq = last.header.base
  let refused: Error | undefined
  try {
    await withFile(files, last.path, async (file) => {
      last.bytes = FIRST_FRAME
      const window = tolerantWindow(file)
      for await (const frame of framesOf(window, last, size)) {
        seq = frame.seq + frame.count
        last.bytes = frame.end
        last.lastMark = frame.last
      }
      refused = window.refused
    })
  } catch (error) {
    if (isAccess(error)) throw error
    return textOf(error)
  }
  // Nothing was found because reading failed.
  if (refused !== undefined && seq === last.header.base) return textOf(refused)
  if (last.bytes < size) await ignoring(withFile(files, last.path, (file) => cutAt(file, last.bytes), 'write'))
  return { end: seq, tornBytes: size - last.bytes }
}
