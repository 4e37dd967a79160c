/**
 * Detects at each sync that the folder of a running spool, or segments in it, were removed, moved or replaced: writes and syncs of
 * a deleted file succeed. Segments that are still open are written again, in a new folder if needed; others are lost and counted.
 */
import { asError, errnoOf, ifMissing } from '../../contract/errors.ts'
import type { Segment } from './catalog.ts'
import { ignoring, writeFully } from './files/file-access.ts'
import type { FileFacts, SpoolFile } from './files/files.ts'
import { holderText } from './files/lock.ts'
import type { Lock } from './files/lock.ts'
import type { SpoolParts } from './parts.ts'
import { marksOf } from './tally.ts'
import type { OpenSegments } from './open-segments.ts'
import type { Reader } from './reader.ts'

/** The events of removed files. */
export interface Vanished {
  /** Restored from open files. */
  readonly rescued: number
  /** Lost, counted as corrupt. */
  readonly lost: number
}

export interface PresenceDeps extends SpoolParts {
  readonly reader: Reader
  readonly segments: OpenSegments
  readonly onVanished: (vanished: Vanished) => void
}

const CHUNK_BYTES = 1 << 20

export class Presence {
  readonly #dir: string
  readonly #deps: PresenceDeps
  #lock: Lock
  /** The folder of `#lock`. */
  #folder: string
  /** Why files could not be restored; appends fail until that succeeds. */
  #failed: Error | undefined

  constructor(dir: string, folder: string, lock: Lock, deps: PresenceDeps) {
    this.#dir = dir
    this.#folder = folder
    this.#lock = lock
    this.#deps = deps
  }

  /** Why appends fail; undefined if nothing is missing. */
  get failed(): Error | undefined {
    return this.#failed
  }

  /** Whether something is missing. Compares names with descriptors; cheap enough for each sync. */
  async isDisturbed(): Promise<boolean> {
    if (this.#failed !== undefined) return true
    const { files, segments } = this.#deps
    if (isOther(await lookAt(files.stat(this.#dir)), this.#folder)) return true
    for (const segment of segments.segments()) {
      const open = await lookAt(segments.fileOf(segment)?.stat())
      if (typeof open === 'object' && isOther(await lookAt(files.stat(segment.path)), open.id)) return true
    }
    return false
  }

  /** Restores what it can. Must not run during an append. Returns a failure; then it must be retried. */
  restore(): Promise<Error | undefined> {
    const { reader, files, onVanished } = this.#deps
    return reader.pause(async () => {
      try {
        const remade = await this.#remakeFolder()
        const { found, ...vanished } = await this.#restoreSegments()
        this.#failed = undefined
        if (!remade && !found) return undefined
        await files.syncFolder(this.#dir)
        onVanished(vanished)
        return undefined
      } catch (error) {
        return (this.#failed = asError(error))
      }
    })
  }

  release(): Promise<void> {
    return this.#lock.release()
  }

  async #remakeFolder(): Promise<boolean> {
    const { files } = this.#deps
    const dir = this.#dir
    if (!isOther(await lookAt(files.stat(dir)), this.#folder)) return false
    await files.mkdir(dir)
    const lock = await files.lock(dir)
    if ('heldBy' in lock) throw new Error(`${holderText(lock)} uses "${dir}", which replaced the spool`)
    await ignoring(this.#lock.release())
    this.#lock = lock
    this.#folder = (await files.stat(dir)).id
    return true
  }

  /** `found`: a segment is missing. */
  async #restoreSegments(): Promise<Vanished & { readonly found: boolean }> {
    const { catalog, files, reader, segments } = this.#deps
    let found = false
    let rescued = 0
    let lost = 0
    // Segments may leave the catalog meanwhile.
    for (const segment of catalog.segments.slice()) {
      const file = segments.fileOf(segment) ?? reader.fileOf(segment)
      const there = await files.stat(segment.path).catch(ifMissing)
      // Settled segments leave the catalog before their files are removed.
      const index = catalog.segments.indexOf(segment)
      if (index < 0 || (there !== undefined && (file === undefined || (await file.stat()).id === there.id))) continue
      const from = Math.max(segment.header.base, reader.seq)
      const to = catalog.limit(index)
      const events = reader.uncounted(from, to)
      found = true
      if (file === undefined) {
        lost += events
        this.#lose(segment, index, events, from, to)
      } else {
        const copy = await this.#copy(segment, file)
        if (!(await segments.adopt(segment, copy))) await ignoring(copy.close())
        catalog.generation++
        rescued += events
      }
    }
    return { found, rescued, lost }
  }

  #lose(segment: Segment, index: number, events: number, from: number, to: number): void {
    const { catalog, reader, tally } = this.#deps
    const marks = marksOf(segment, catalog.segments[index + 1])
    catalog.remove([segment])
    reader.pastWithout(from, to)
    if (events > 0) tally.corruptFrames++
    tally.lose({ reason: 'corrupt', events, from, to, marks })
  }

  /** Copies the valid bytes of the segment to a new file of its name, synced and open. */
  async #copy({ path, bytes }: Segment, from: SpoolFile): Promise<SpoolFile> {
    const { files } = this.#deps
    const copy = await files.open(`${path}.tmp`, 'replace')
    try {
      const chunk = Buffer.allocUnsafe(Math.min(bytes, CHUNK_BYTES))
      for (let at = 0; at < bytes;) {
        const got = await from.read(chunk.subarray(0, Math.min(chunk.length, bytes - at)), at)
        // The file was truncated: the reader counts the missing events.
        if (got === 0) break
        await writeFully(copy, [chunk.subarray(0, got)], at)
        at += got
      }
      await copy.sync()
      await files.rename(`${path}.tmp`, path)
      return copy
    } catch (error) {
      await ignoring(copy.close())
      await ignoring(files.unlink(`${path}.tmp`))
      throw error
    }
  }
}

/** The facts; `missing` without a file, `unknown` if the device fails. */
function lookAt(facts: Promise<FileFacts> | undefined): Promise<FileFacts | 'missing' | 'unknown'> {
  if (facts === undefined) return Promise.resolve('unknown')
  return facts.catch((error: unknown) => (errnoOf(error) === 'ENOENT' ? 'missing' : 'unknown'))
}

function isOther(found: FileFacts | 'missing' | 'unknown', id: string): boolean {
  return found === 'missing' || (found !== 'unknown' && found.id !== id)
}
