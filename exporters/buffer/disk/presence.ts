/**
 * Finds out that the folder of a running spool, or segments in it, were removed, moved or replaced. What a descriptor still
 * reaches is written again under its old name, in a new folder if need be; what no descriptor reaches is lost, and counted.
 *
 * Constraint: looked for at each sync, for a deleted file takes writes and syncs as if nothing had happened.
 */
import { errnoOf } from '../../contract/errors.ts'
import type { Catalog, Segment } from './catalog.ts'
import { ignoring } from './files/file-access.ts'
import type { FileFacts, SpoolFile, SpoolFiles } from './files/files.ts'
import type { Lock } from './files/lock.ts'
import type { Tally } from './tally.ts'
import { marksOf } from './tally.ts'
import type { OpenSegments } from './open-segments.ts'
import type { Reader } from './reader.ts'

/** What became of the events of a folder that was taken away. */
export interface Vanished {
  /** Only an open file still had them; they are in the folder again. */
  readonly rescued: number
  /** No open file had them: counted as corrupt. */
  readonly lost: number
}

export interface PresenceDeps {
  readonly files: SpoolFiles
  readonly catalog: Catalog
  readonly tally: Tally
  readonly reader: Reader
  readonly segments: OpenSegments
  readonly onVanished: (vanished: Vanished) => void
}

const CHUNK_BYTES = 1 << 20

export class Presence {
  readonly #dir: string
  readonly #deps: PresenceDeps
  #lock: Lock
  /** The folder that `#lock` is of. */
  #folder: string
  /** Why what was taken away could not be written again; nothing may be appended until that has worked. */
  #failed: Error | undefined

  constructor(dir: string, folder: string, lock: Lock, deps: PresenceDeps) {
    this.#dir = dir
    this.#folder = folder
    this.#lock = lock
    this.#deps = deps
  }

  /** Why nothing may be appended; undefined when all is in its place as far as is known. */
  get failed(): Error | undefined {
    return this.#failed
  }

  /** Whether something is not in its place. A look at names and descriptors; cheap enough for each sync. */
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

  /** Puts back what can be. To be called while nobody appends. Returns what failed; then it must be tried again. */
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
        this.#failed = error instanceof Error ? error : new Error(String(error))
        return this.#failed
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
    if ('heldBy' in lock) throw new Error(`process ${lock.heldBy} is using "${dir}", which took the spool's place`)
    await ignoring(this.#lock.release())
    this.#lock = lock
    this.#folder = (await files.stat(dir)).id
    return true
  }

  /** `found`: a segment was not in its place. */
  async #restoreSegments(): Promise<Vanished & { readonly found: boolean }> {
    const { catalog, files, reader, segments } = this.#deps
    let found = false
    let rescued = 0
    let lost = 0
    // Some leave the catalog on the way.
    for (const segment of catalog.segments.slice()) {
      const file = segments.fileOf(segment) ?? reader.fileOf(segment)
      const there = await files.stat(segment.path).catch(ifMissing)
      // What is spent leaves the catalog before its file is removed.
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

  /** A new file of the segment's name with what counts of the old one, synced and open. */
  async #copy({ path, bytes }: Segment, from: SpoolFile): Promise<SpoolFile> {
    const { files } = this.#deps
    const copy = await files.open(`${path}.tmp`, 'replace')
    try {
      const chunk = Buffer.allocUnsafe(Math.min(bytes, CHUNK_BYTES))
      for (let at = 0; at < bytes;) {
        const got = await from.read(chunk.subarray(0, Math.min(chunk.length, bytes - at)), at)
        // Somebody has cut it: the reader counts what is missing.
        if (got === 0) break
        for (let done = 0; done < got;) done += await copy.write([chunk.subarray(done, got)], at + done)
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

/** The facts, that there is nothing, or that it can not be told: a device that refuses says nothing about what is where. */
function lookAt(facts: Promise<FileFacts> | undefined): Promise<FileFacts | 'missing' | 'unknown'> {
  if (facts === undefined) return Promise.resolve('unknown')
  return facts.catch((error: unknown) => (errnoOf(error) === 'ENOENT' ? 'missing' : 'unknown'))
}

function isOther(found: FileFacts | 'missing' | 'unknown', id: string): boolean {
  return found === 'missing' || (found !== 'unknown' && found.id !== id)
}

function ifMissing(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined
  throw error
}
